// The forward pass of few input channels on the tensor cores.
#include <limits>

#include "core/cuda/few_channels.h"
#include "core/cuda/few_channels_windows.h"

namespace gradus::cuda {
namespace {

using namespace few_channels_parts;

/// The larger one, but no number where `value` is none.
GRADUS_ANYWHERE inline float at_least(float floor, float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  float larger;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(larger) : "f"(value), "f"(floor));
  return larger;
#else
  return value < floor ? floor : value;
#endif
}

/// A warp multiplies two runs, as 16 rows, by all taps of its channels, whose weights it keeps. Columns 2j and 2j + 1
/// of neighbouring products stand for neighbouring channels, so that lane j of 4 ends with packs of them ("units", of
/// which the 4 lanes' packs are 64 neighbouring bytes).
template <class T, int ins>
struct ForwardProducts {
  static constexpr bool by_warp = true;
  static constexpr int resident = 2;  // blocks of a multiprocessor: while some load, others store
  using Windows = ProductWindows<T, ins, is_narrow<T> ? Pairs::rows : Pairs::none>;
  // Lanes read 4 words of each of 8 neighbouring columns: all 32 lie in banks of their own.
  using Memory = ColumnMemory<4, Windows::words>;
  static constexpr int per_pack = sizeof(Pack) / sizeof(T), unit = 4 * per_pack;  // channels
  static constexpr int unit_products = per_pack / 2;
  static constexpr int other_words = side * Memory::rest, in_planes = side * Memory::planes;
  static constexpr int groups = in_planes + (other_words + 3) / 4, steps = (groups + 1) / 2;  // of 4 words; of 8
  static constexpr int units = is_narrow<T> && steps > 2 ? 2 : 3, channels = units * unit;    // as registers allow
  static constexpr int most_parts = is_narrow<T> && units == 3 ? 1 : 2, most_channels = most_parts * channels;
  struct Shared {
    Memory windows;
    uint32_t weights[side * Windows::words][most_channels + 2];  // 2 more: lanes take 2 neighbours of each of 4 words
    alignas(16) float bias[most_channels];
    Place places[most_product_slots];
  };
  struct Local {
    PerLane<Right> weights[steps][units * unit_products];
  };
  Windows windows;
  int outs, slices, parts;  // output channels; parts of them, by blocks and by a block's warps
  int slots, tiles;
  Filters weight;
  Vector bias;
  float floor;  // of outputs
  Pack* y;

  GRADUS_ANYWHERE int phases() const { return 2 * tiles; }
  GRADUS_ANYWHERE void operator()(int phase, int64_t block, int warp, Shared& shared, Local& local) const {
    const int first_channel = static_cast<int>(block % slices) * parts * channels;
    const auto first = static_cast<uint32_t>((block / slices * tiles + phase / 2) * slots);
    if (phase % 2 == 0) {
      for_lanes([&](int lane) {
        const int thread = warp * warp_lanes + lane;
        if (phase == 0) load_parameters(first_channel, thread, shared);
        windows.stage(first, slots, thread, shared.windows, shared.places);
      });
      return;
    }
    const int part = warp % parts;
    if (phase == 1) take_weights(part, shared, local);
    for (int slot = warp / parts * 2; slot < slots; slot += warps_per_block / parts * 2)
      compute(slot, part, first_channel, shared, local);
  }

  /// One thread to a channel, the last ones of the block, for the first ones have more of the windows to load.
  GRADUS_ANYWHERE void load_parameters(int first_channel, int thread, Shared& shared) const {
    const int in_block = thread - (threads_per_block - most_channels), channel = first_channel + in_block;
    if (in_block < 0) return;
    const bool there = channel < outs;
    if (weight.dtype == DType::bfloat16)
      load_weights<bfloat16>(in_block, channel, there, shared);
    else
      load_weights<float>(in_block, channel, there, shared);
    shared.bias[in_block] = there ? static_cast<float>(T(static_cast<float>(bias[channel]))) : 0.0f;
  }

  template <class W>
  GRADUS_ANYWHERE void load_weights(int in_block, int channel, bool there, Shared& shared) const {
    const W* const of_channel = static_cast<const W*>(weight.data) + weight.place(channel, 0, 0, 0);
    W values[side][Windows::rows];
    GRADUS_UNROLL
    for (int column = 0; column < side; ++column) {
      GRADUS_UNROLL
      for (int row = 0; row < Windows::rows; ++row) {
        const int64_t from = weight.place(0, row % ins, row / ins, column);
        values[column][row] = there ? of_channel[from] : W(0.0f);
      }
    }
    GRADUS_UNROLL
    for (int column = 0; column < side; ++column) {
      T rounded[1][Windows::rows];
      GRADUS_UNROLL
      for (int row = 0; row < Windows::rows; ++row) rounded[0][row] = T(static_cast<float>(values[column][row]));
      uint32_t words[Windows::words];
      Windows::pack(rounded, words);
      GRADUS_UNROLL
      for (int word = 0; word < Windows::words; ++word)
        shared.weights[column * Windows::words + word][in_block] = words[word];
    }
  }

  /// Of the words beside the planes a lane's in a group: number 4 * group + j of [3 columns, rest].
  struct OtherWord {
    bool there;
    int column, word;
  };
  GRADUS_ANYWHERE static OtherWord other_word(int group, int j) {
    constexpr int rest = std::max(Memory::rest, 1);
    const int number = 4 * (group - in_planes) + j;
    if (number >= other_words) return {false, 0, 0};
    return {true, number / rest, number % rest};
  }

  GRADUS_ANYWHERE static void take_weights(int part, const Shared& shared, Local& local) {
    for_lanes([&](int lane) {
      const int g = lane / 4, j = lane % 4, channel = part * channels + g / 2 * per_pack + g % 2;
      GRADUS_UNROLL
      for (int group = 0; group < 2 * steps; ++group) {
        bool there = group < in_planes;
        int row = group % side * Windows::words + group / side * 4 + j;
        if (!there) {
          const OtherWord other = other_word(group, j);
          there = other.there, row = other.column * Windows::words + 4 * Memory::planes + other.word;
        }
        GRADUS_UNROLL
        for (int k = 0; k < units * unit_products; ++k)
          local.weights[group / 2][k][lane].at[group % 2] =
              there ? shared.weights[row][channel + k / unit_products * unit + k % unit_products * 2] : 0;
      }
    });
  }

  GRADUS_ANYWHERE void compute(int slot, int part, int first_channel, const Shared& shared, const Local& local) const {
    if (shared.places[slot].count == 0) return;  // then nor is there a second run
    PerLane<Left> inputs[steps];
    for_lanes([&](int lane) {
      const int g = lane / 4, j = lane % 4;
      GRADUS_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int begin = (slot + half) * windows.columns;
        GRADUS_UNROLL
        for (int group = 0; group < 2 * steps; ++group) {
          uint32_t& to = inputs[group / 2][lane].at[group % 2 * 2 + half];
          if (group < in_planes) {
            to = shared.windows.plane[group / side][4 * (begin + group % side * windows.period) + lane];
          } else if (group < groups) {
            const OtherWord other = other_word(group, j);
            const int column = begin + g + other.column * windows.period;
            to = other.there ? shared.windows.other[column * Memory::rest + other.word] : 0;
          } else {
            to = 0;
          }
        }
      }
    });
    struct Target {
      Pack* at;
      bool there;
    };
    PerLane<Target> targets[2];
    for_lanes([&](int lane) {
      GRADUS_UNROLL
      for (int half = 0; half < 2; ++half) {
        const Place place = shared.places[slot + half];
        const int64_t pixel = place.pixel + lane / 4;
        targets[half][lane] = {y + pixel * (outs / per_pack) + (first_channel + part * channels) / per_pack + lane % 4,
                               lane / 4 < place.count};
      }
    });
    GRADUS_UNROLL
    for (int u = 0; u < units; ++u) {
      const int in_block = part * channels + u * unit;
      if (first_channel + in_block >= outs) break;
      PerLane<Sums> sums[unit_products];
      for_lanes([&](int lane) {
        const float* const start = shared.bias + in_block + lane % 4 * per_pack;
        GRADUS_UNROLL
        for (int k = 0; k < unit_products; ++k)
          sums[k][lane] = {{start[2 * k], start[2 * k + 1], start[2 * k], start[2 * k + 1]}};
      });
      GRADUS_UNROLL
      for (int step = 0; step < steps; ++step) {
        GRADUS_UNROLL
        for (int k = 0; k < unit_products; ++k) {
          PerLane<Right> weights;
          for_lanes([&](int lane) {
            weights[lane] = local.weights[step][u * unit_products + k][lane];
            if (2 * step + 1 >= groups) weights[lane].at[1] = 0;  // a constant, which takes no register
          });
          multiply<T>(sums[k], inputs[step], weights);
        }
      }
      for_lanes([&](int lane) {
        const int channel = first_channel + in_block + lane % 4 * per_pack;
        GRADUS_UNROLL
        for (int half = 0; half < 2; ++half) {
          if (!targets[half][lane].there || channel >= outs) continue;
          float values[per_pack];
          GRADUS_UNROLL
          for (int k = 0; k < per_pack; ++k) values[k] = at_least(floor, sums[k / 2][lane].at[2 * half + k % 2]);
          targets[half][lane].at[4 * u] = make_pack<T>(values);
        }
      });
    }
  }
};

template <class T, int ins>
void forward_products(const ConvOperands& o, const Conv2dSpec& spec, int64_t most_blocks) {
  using Kernel = ForwardProducts<T, ins>;
  const auto windows = make_product_windows<typename Kernel::Windows>(make_runs<T>(o, spec));
  const int outs = static_cast<int>(o.w.shape()[0]), parts = outs > Kernel::channels ? Kernel::most_parts : 1;
  const int64_t slices = divided_up(outs, parts * Kernel::channels);
  const Division division = divide(windows.of.runs, windows.columns, most_blocks);
  for_each_block(slices * division.blocks, Kernel{.windows = windows,
                                                  .outs = outs,
                                                  .slices = static_cast<int>(slices),
                                                  .parts = parts,
                                                  .slots = division.slots,
                                                  .tiles = division.tiles,
                                                  .weight = Filters(o.w),
                                                  .bias = Vector(o.bias, 0),
                                                  .floor = o.relu ? 0.0f : -std::numeric_limits<float>::infinity(),
                                                  .y = static_cast<Pack*>(o.y.raw())});
}

}  // namespace

void few_channels_forward(const ConvOperands& o, const Conv2dSpec& spec, int64_t most_blocks) {
  visit_products(o, [&]<class T, int ins>(T, std::integral_constant<int, ins>) {
    forward_products<T, ins>(o, spec, most_blocks);
  });
}

}  // namespace gradus::cuda
