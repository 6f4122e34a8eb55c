// A thread computes, of the forward pass, 8 neighbouring outputs of a row ("a run") in 8 channels; of the weight's
// gradient, the 9 taps of one input channel for 8 output channels. The inputs that a run's outputs meet lie in shared
// memory, zero outside the image; so no sum has to look at borders or strides.
#include "core/cuda/few_channels.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/cuda/few_channels_parts.h"

namespace gradus::cuda {
namespace {

using namespace few_channels_parts;

constexpr int outs = 8;                       // output channels of a thread
constexpr int most_runs = threads_per_block;  // that a block holds at a time

/// The output channels in groups of 8, one group to a thread. A thread's packs are apart, so that neighbouring threads
/// access neighbouring packs.
struct Channels {
  static constexpr int per_pack = sizeof(Pack) / sizeof(float), packs = outs / per_pack;  // packs: of a thread
  int groups;
  GRADUS_ANYWHERE int pack(int group, int j) const { return j * groups + group; }
  GRADUS_ANYWHERE int channel(int group, int k) const { return pack(group, k / per_pack) * per_pack + k % per_pack; }
  GRADUS_ANYWHERE int64_t packs_of_pixel() const { return int64_t{packs} * groups; }
};

// ---- What runs meet of x --------------------------------------------------------------------------------------------

/// sliding: stride and dilation along a row are 1, and a run's outputs meet 10 neighbours of each row; else 8 inputs
/// for each tap of a row.
template <bool sliding>
struct Windows : Runs<float> {
  static constexpr int quads = sliding ? 3 : 6;  // of a window: one channel of one row of taps

  GRADUS_ANYWHERE int rows() const { return side * ins; }

  /// The windows of runs first, first + 1, ...: to [slots, 3, ins, quads].
  GRADUS_ANYWHERE void stage(uint32_t first, int slots, int thread, Quad* to, Place* places) const {
    for (int task = thread; task < slots * rows(); task += threads_per_block) {
      const int slot = task / rows(), row = task - slot * rows(), tap = row / ins, in = row - tap * ins;
      const uint32_t number = first + static_cast<uint32_t>(slot);
      if (number >= runs) {
        if (row == 0) places[slot] = {0, 0};
        continue;
      }
      const Corner at = corner(number);
      const int count = at.place.count, x_row = at.row + tap * dilation_down;
      if (row == 0) places[slot] = at.place;
      const bool inside = x_row >= 0 && x_row < height;
      const float* const from = x + at.image * image_stride + in * channel_stride + x_row * row_stride;
      float window[4 * quads];
      int column = at.column;
      GRADUS_UNROLL
      for (int k = 0; k < 4 * quads; ++k, column += sliding ? 1 : right) {
        if (!sliding && k % run == 0) column = at.column + k / run * dilation_right;
        const bool met = sliding ? k < count + side - 1 : k % run < count;  // by an output that there is
        const bool there = inside && met && column >= 0 && column < width;
        window[k] = there ? from[column * column_stride] : 0.0f;
      }
      GRADUS_UNROLL
      for (int q = 0; q < quads; ++q)
        to[task * quads + q] = {window[4 * q], window[4 * q + 1], window[4 * q + 2], window[4 * q + 3]};
    }
  }
};

/// Runs that fit this many quads.
template <class W>
int most_slots(const W& windows, int room) {
  return std::min(most_runs, room / (windows.rows() * windows.quads));
}

// ---- Forward --------------------------------------------------------------------------------------------------------

template <bool sliding>
struct Forward {
  static constexpr int resident = 2;      // blocks of a multiprocessor: while some load, others compute
  static constexpr int most_groups = 16;  // of a block
  static constexpr int weight_quads = most_ins * taps * most_groups * 2, window_quads = 1536;
  struct Shared {
    Quad weights[weight_quads];  // [3, ins, 3, 2, groups]: tap, half of the group's channels
    Quad bias[most_groups * 2];  // [2, groups]
    Quad windows[window_quads];
    Place places[most_runs];
  };
  Windows<sliding> windows;
  Channels channels;
  int slices, groups;  // parts of the channels; groups of a slice
  int lanes;           // neighbouring threads of neighbouring groups, which divides groups
  int slots, tiles;    // runs that a block computes at a time; how many times
  Filters weight;
  Vector bias;
  bool relu;
  Pack* y;

  GRADUS_ANYWHERE int phases() const { return 2 * tiles; }
  GRADUS_ANYWHERE void operator()(int phase, int64_t block, int thread, Shared& shared) const {
    const int first_group = static_cast<int>(block % slices) * groups;
    const auto first = static_cast<uint32_t>((block / slices * tiles + phase / 2) * slots);
    if (phase == 0) load_weights(first_group, thread, shared);
    if (phase % 2 == 0) return windows.stage(first, slots, thread, shared.windows, shared.places);
    const int column = thread / (lanes * slots), in_column = thread - column * lanes * slots;
    const int slot = in_column / lanes, group = column * lanes + in_column - slot * lanes;
    if (group < groups && first_group + group < channels.groups) compute(slot, group, first_group + group, shared);
  }

  GRADUS_ANYWHERE void load_weights(int first_group, int thread, Shared& shared) const {
    const int of_tap = outs * groups, values = side * windows.rows() * of_tap;
    for (int i = thread; i < values + of_tap; i += threads_per_block) {
      const int tap = i / of_tap, place = i - tap * of_tap, half = place / (4 * groups);
      const int group = first_group + place / 4 - half * groups, k = place % 4;
      const int64_t channel = channels.channel(group, 4 * half + k);
      float value = 0;
      if (i >= values) {
        if (group < channels.groups) value = static_cast<float>(bias[channel]);
        shared.bias[place / 4].at[k] = value;
        continue;
      }
      const int row = tap / side, column = tap - row * side, down = row / windows.ins, in = row - down * windows.ins;
      if (group < channels.groups) value = weight.get(channel, in, down, column);
      shared.weights[i / 4].at[k] = value;
    }
  }

  GRADUS_ANYWHERE void compute(int slot, int in_slice, int group, const Shared& shared) const {
    const Place place = shared.places[slot];
    if (place.count == 0) return;
    float sum[run][outs];
    GRADUS_UNROLL
    for (int k = 0; k < outs; ++k) {
      const float start = shared.bias[k / 4 * groups + in_slice].at[k % 4];
      GRADUS_UNROLL
      for (int p = 0; p < run; ++p) sum[p][k] = start;
    }
    constexpr int quads = Windows<sliding>::quads;
    const Quad* of_tap = shared.weights + in_slice;
    const Quad* of_row = shared.windows + slot * windows.rows() * quads;
    for (int row = 0; row < windows.rows(); ++row, of_row += quads) {
      Quad window[quads];
      GRADUS_UNROLL
      for (int q = 0; q < quads; ++q) window[q] = of_row[q];
      GRADUS_UNROLL
      for (int tap = 0; tap < side; ++tap, of_tap += 2 * groups) {
        const Quad w[2] = {of_tap[0], of_tap[groups]};
        GRADUS_UNROLL
        for (int p = 0; p < run; ++p) {
          const int at = sliding ? p + tap : p + run * tap;
          GRADUS_UNROLL
          for (int k = 0; k < outs; ++k) sum[p][k] = std::fma(window[at / 4].at[at % 4], w[k / 4].at[k % 4], sum[p][k]);
        }
      }
    }
    GRADUS_UNROLL
    for (int p = 0; p < run; ++p) {
      if (p >= place.count) break;
      Pack* const pixel = y + (place.pixel + p) * channels.packs_of_pixel();
      GRADUS_UNROLL
      for (int k = 0; k < outs; ++k) sum[p][k] = relu && sum[p][k] < 0 ? 0.0f : sum[p][k];  // keeps NaN
      GRADUS_UNROLL
      for (int j = 0; j < channels.packs; ++j)
        pixel[channels.pack(group, j)] = make_pack<float>(sum[p] + j * channels.per_pack);
    }
  }
};

// ---- The weight's gradient ------------------------------------------------------------------------------------------

constexpr int sums_per_thread = outs * taps;

/// A block's threads stand in streams. Each stream has a thread for every unit (a group of output channels and an input
/// channel; of a slice of them, where there are many) and goes through its own half runs; at the end streams are added
/// in pairs.
template <bool sliding>
struct GradWeight {
  static constexpr int resident = 2;    // blocks of a multiprocessor: while some wait for gy, others compute
  static constexpr int half = run / 2;  // outputs whose gradients a thread loads at a time
  static constexpr int room = sums_per_thread / 4 * threads_per_block / 2;
  struct Shared {
    Quad at[room];  // windows, later sums
    Place places[most_runs];
  };
  struct Local {
    float sum[sums_per_thread];  // [8, 3, 3]
  };
  Windows<sliding> windows;
  Channels channels;
  int units, slices, per_slice, streams, rounds;
  int slots, tiles;
  const char* gy;
  int64_t pixel_bytes, pack_bytes;  // of gy: from pixel to pixel, and from pack to pack of a thread
  float* parts;                     // [blocks / slices, 8, 3, 3, units]

  GRADUS_ANYWHERE int phases() const { return 2 * tiles + 2 * rounds + 1; }
  GRADUS_ANYWHERE void operator()(int phase, int64_t block, int thread, Shared& shared, Local& local) const {
    const int64_t part = block / slices;
    const int stream = thread / per_slice, in_slice = thread - stream * per_slice;
    const int unit = static_cast<int>(block - part * slices) * per_slice + in_slice;
    const bool works = stream < streams && unit < units;
    if (phase == 0) {
      GRADUS_UNROLL
      for (float& sum : local.sum) sum = 0;
    }
    if (phase < 2 * tiles) {
      const auto first = static_cast<uint32_t>((part * tiles + phase / 2) * slots);
      if (phase % 2 == 0)
        windows.stage(first, slots, thread, shared.at, shared.places);
      else if (works)
        accumulate(stream, unit, shared, local);
      return;
    }
    if (!works) return;
    const int step = phase - 2 * tiles, round = step / 2;
    if (round == rounds) {
      if (stream != 0) return;
      GRADUS_UNROLL
      for (int k = 0; k < sums_per_thread; ++k) parts[(part * sums_per_thread + k) * units + unit] = local.sum[k];
      return;
    }
    const int active = (streams + (1 << round) - 1) >> round, kept = (active + 1) / 2;
    const int spots = (active - kept) * per_slice;
    if (step % 2 == 0) {
      if (stream < kept || stream >= active) return;
      Quad* const to = shared.at + (stream - kept) * per_slice + in_slice;
      GRADUS_UNROLL
      for (int q = 0; q < sums_per_thread / 4; ++q)
        to[q * spots] = {local.sum[4 * q], local.sum[4 * q + 1], local.sum[4 * q + 2], local.sum[4 * q + 3]};
    } else {
      if (stream + kept >= active) return;
      const Quad* const from = shared.at + stream * per_slice + in_slice;
      GRADUS_UNROLL
      for (int q = 0; q < sums_per_thread / 4; ++q) {
        const Quad more = from[q * spots];
        GRADUS_UNROLL
        for (int k = 0; k < 4; ++k) local.sum[4 * q + k] += more.at[k];
      }
    }
  }

  GRADUS_ANYWHERE void accumulate(int stream, int unit, const Shared& shared, Local& local) const {
    constexpr int quads = Windows<sliding>::quads;
    const int group = unit / windows.ins, in = unit - group * windows.ins;
    const char* const of_group = gy + channels.pack(group, 0) * int64_t{sizeof(Pack)};
    for (int piece = stream; piece < 2 * slots; piece += streams) {
      const int slot = piece / 2, second = piece % 2;
      const Place place = shared.places[slot];
      const int count = place.count - half * second;
      if (count <= 0) continue;
      Pack g[half][Channels::packs];
      const char* from = of_group + (place.pixel + half * second) * pixel_bytes;
      GRADUS_UNROLL
      for (int p = 0; p < half; ++p, from += pixel_bytes) {
        GRADUS_UNROLL
        for (int j = 0; j < channels.packs; ++j)
          g[p][j] = p < count ? *reinterpret_cast<const Pack*>(from + j * pack_bytes) : Pack{};
      }
      const Quad* of_row = shared.at + (slot * windows.rows() + in) * quads + second;
      GRADUS_UNROLL
      for (int row = 0; row < side; ++row, of_row += windows.ins * quads) {
        // Of each tap the inputs of 4 outputs; sliding, 8 neighbours.
        constexpr int loaded = sliding ? 2 : side;
        Quad window[loaded];
        GRADUS_UNROLL
        for (int q = 0; q < loaded; ++q) window[q] = of_row[sliding ? q : 2 * q];
        GRADUS_UNROLL
        for (int tap = 0; tap < side; ++tap) {
          GRADUS_UNROLL
          for (int p = 0; p < half; ++p) {
            const int at = sliding ? p + tap : p + 4 * tap;
            GRADUS_UNROLL
            for (int k = 0; k < outs; ++k) {
              float& sum = local.sum[k * taps + row * side + tap];
              sum = std::fma(std::bit_cast<float>(g[p][k / channels.per_pack].words[k % channels.per_pack]),
                             window[at / 4].at[at % 4], sum);
            }
          }
        }
      }
    }
  }
};

/// Where the sums of parts [8, 3, 3, units] go.
struct ToWeight {
  Channels channels;
  int units, ins;
  Filters gw;

  GRADUS_ANYWHERE void operator()(int64_t number, float sum) const {
    const int k = static_cast<int>(number / units), unit = static_cast<int>(number - int64_t{k} * units);
    const int group = unit / ins, in = unit - group * ins, tap = k % taps;
    gw.set(channels.channel(group, k / taps), in, tap / side, tap % side, sum);
  }
};

// ---- Passes ---------------------------------------------------------------------------------------------------------

template <bool sliding>
void forward(const ConvOperands& o, const Conv2dSpec& spec, int64_t most_blocks) {
  using Kernel = Forward<sliding>;
  const Windows<sliding> windows{make_runs<float>(o, spec)};
  const Channels channels{static_cast<int>(o.w.shape()[0] / outs)};
  const auto slices = static_cast<int>(divided_up(channels.groups, Kernel::most_groups));
  const auto groups = static_cast<int>(divided_up(channels.groups, slices));
  const int slots = std::min(threads_per_block / groups, most_slots(windows, Kernel::window_quads));
  const int64_t all = divided_up(windows.runs, slots), tiles = divided_up(all, most_blocks);
  for_each_block(slices * divided_up(all, tiles), Kernel{.windows = windows,
                                                         .channels = channels,
                                                         .slices = slices,
                                                         .groups = groups,
                                                         .lanes = groups % 4 == 0 ? 4 : groups,
                                                         .slots = slots,
                                                         .tiles = static_cast<int>(tiles),
                                                         .weight = Filters(o.w),
                                                         .bias = Vector(o.bias, 0),
                                                         .relu = o.relu,
                                                         .y = static_cast<Pack*>(o.y.raw())});
}

template <bool sliding>
void grad_weight(const ConvOperands& o, const Conv2dSpec& spec, int64_t most_blocks) {
  using Kernel = GradWeight<sliding>;
  const Windows<sliding> windows{make_runs<float>(o, spec)};
  const Channels channels{static_cast<int>(o.w.shape()[0] / outs)};
  const int units = channels.groups * windows.ins;
  const auto slices = static_cast<int>(divided_up(units, threads_per_block));
  const auto per_slice = static_cast<int>(divided_up(units, slices));
  const int streams = threads_per_block / per_slice;
  const int64_t of_block = divided_up(windows.runs, most_blocks);
  const int64_t tiles = divided_up(of_block, most_slots(windows, Kernel::room)), slots = divided_up(of_block, tiles);
  const int64_t parts = divided_up(windows.runs, tiles * slots);
  const int64_t elements = int64_t{sums_per_thread} * units;
  const Storage scratch = Storage::allocate(static_cast<size_t>(parts * elements) * sizeof(float));
  auto* const sums = static_cast<float*>(scratch.data());
  for_each_block(slices * parts, Kernel{.windows = windows,
                                        .channels = channels,
                                        .units = units,
                                        .slices = slices,
                                        .per_slice = per_slice,
                                        .streams = streams,
                                        .rounds = static_cast<int>(std::bit_width(static_cast<unsigned>(streams - 1))),
                                        .slots = static_cast<int>(slots),
                                        .tiles = static_cast<int>(tiles),
                                        .gy = static_cast<const char*>(o.y.raw()),
                                        .pixel_bytes = channels.packs_of_pixel() * int64_t{sizeof(Pack)},
                                        .pack_bytes = channels.groups * int64_t{sizeof(Pack)},
                                        .parts = sums});
  add_parts(sums, parts, elements,
            ToWeight{.channels = channels, .units = units, .ins = windows.ins, .gw = Filters(o.w)});
}

template <bool sliding>
void run_pass(ConvPass pass, const ConvOperands& o, const Conv2dSpec& spec, int64_t most_blocks) {
  if (pass == ConvPass::forward) return forward<sliding>(o, spec, most_blocks);
  grad_weight<sliding>(o, spec, most_blocks);
}

}  // namespace

void few_channels_sums(ConvPass pass, const ConvOperands& o, const Conv2dSpec& spec, int64_t most_blocks) {
  const bool sliding = spec.stride[1] == 1 && spec.dilation[1] == 1;
  (sliding ? run_pass<true> : run_pass<false>)(pass, o, spec, most_blocks);
}

}  // namespace gradus::cuda
