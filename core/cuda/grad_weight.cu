// Of each window of y, 64 pixels, a block holds in shared memory gy for its output channels and the patch of x that the
// nine taps meet, for its 32 input channels: [pixel, channel] both, as they lie in memory. While it multiplies one
// window's, the next windows' are on their way. Of the sums, outs x 32 x 9, each of the 8 warps keeps half of the
// output channels by 8 input channels by all taps in registers, through all windows of the block.
#include "core/cuda/grad_weight.h"

#include <algorithm>
#include <bit>

#include "core/cuda/element.h"
#include "core/cuda/launch.h"
#include "core/cuda/warp.h"

namespace gradus::cuda {
namespace {

constexpr int side = 3, taps = side * side;
constexpr int window_pixels = 64, terms = 8;  // terms: of one product
constexpr int ins = 32, ins_of_warp = 8;
constexpr int stages = 3;  // windows in shared memory: one is multiplied, two are on their way

/// So many floats in one access.
template <int count>
struct alignas(count * sizeof(float)) Floats {
  float at[count];
};

/// tiles: of 16 output channels, of a warp; step: the stride.
template <int tiles, int step>
struct Products {
  static constexpr bool by_warp = true;
  static constexpr int outs_of_warp = 16 * tiles, outs = 2 * outs_of_warp;
  // A lane meets 2 x 2 pixels of gy at a time. At stride 1 they are neighbours, so that taps share the values of x; at
  // stride 2 there is little to share, and its columns are 4 apart.
  static constexpr int lane_columns = step == 1 ? 2 : 1, second_column = step == 1 ? 1 : 4;
  // Pixels apart in shared memory, so that the 32 lanes of a load, 4 pixels by 8 channels, meet 32 banks: the distance
  // of one lane's pixel from the next one's is 8 words more than a multiple of 32.
  static constexpr int gy_stride = outs + 8 / lane_columns, x_stride = ins + 4;
  static_assert(lane_columns * gy_stride % 32 == 8 && lane_columns * step * x_stride % 32 == 8);
  // What of x the 2 x 2 pixels' taps meet.
  static constexpr int met_rows = step + side, met_columns = step == 1 ? 4 : 2 * side;
  static constexpr int most_patch = step == 1 ? 4 * 34 : 5 * 65;  // pixels; of windows 32 wide

  struct Stage {
    alignas(16) float gy[window_pixels * gy_stride];
    alignas(16) float x[most_patch * x_stride];
  };
  struct Shared {
    Stage stage[stages];
  };
  struct Local {
    PerLane<Sums> sums[tiles][taps];
  };

  const float *x, *gy;
  int in_channels, height, width;             // of x
  int out_channels, out_height, out_width;    // of y
  int top, left;                              // padding
  int log_columns, windows_across, of_image;  // columns of a window; windows of a row of them, and of an image
  int patch_width, patch, reciprocal;         // columns and pixels; pixel / patch_width by multiplication
  int in_slices, slices, parts;               // slices: of both kinds of channels; parts: of the windows
  int64_t windows;
  float* sums_of_parts;  // [parts, slices, taps, outs, ins]

  GRADUS_ANYWHERE int64_t first_of(int64_t part) const { return windows * part / parts; }

  GRADUS_ANYWHERE int phases() const { return 1 + static_cast<int>((windows + parts - 1) / parts); }
  GRADUS_ANYWHERE void operator()(int phase, int64_t block, int warp, Shared& shared, Local& local) const {
    // Neighbouring blocks read the same pixels.
    const int part = static_cast<int>(block / slices), slice = static_cast<int>(block % slices);
    const int first_out = slice / in_slices * outs, first_in = slice % in_slices * ins;
    const int64_t begin = first_of(part), count = first_of(part + 1) - begin;
    if (phase == 0) {
      GRADUS_UNROLL
      for (int t = 0; t < tiles; ++t) {
        GRADUS_UNROLL
        for (int tap = 0; tap < taps; ++tap) for_lanes([&](int lane) { local.sums[t][tap][lane] = {}; });
      }
      for (int i = 0; i < stages - 1; ++i) {
        if (i < count) load(begin + i, first_out, first_in, warp, shared.stage[i]);
        end_copies();
      }
    } else {
      const int at = phase - 1, later = at + stages - 1;
      // Half of the warps multiply while the others find their addresses.
      const bool loads_first = warp < warps_per_block / 2;
      if (loads_first && later < count) load(begin + later, first_out, first_in, warp, shared.stage[later % stages]);
      if (at < count) multiply(shared.stage[at % stages], warp, local);
      if (!loads_first && later < count) load(begin + later, first_out, first_in, warp, shared.stage[later % stages]);
      end_copies();  // of each phase, so that the groups count windows
      if (at == count - 1) write(int64_t{part} * slices + slice, warp, local);
    }
    wait_for_copies<stages - 2>();  // the next window is there
  }

  GRADUS_ANYWHERE void load(int64_t window, int first_out, int first_in, int warp, Stage& stage) const {
    const auto image = static_cast<int>(window / of_image);
    const int in_image = static_cast<int>(window - int64_t{image} * of_image);
    const int down = in_image / windows_across, across = in_image - down * windows_across;
    const int columns = 1 << log_columns;
    const int y_row = down * (window_pixels >> log_columns), y_column = across * columns;
    for_lanes([&](int lane) {
      const int thread = warp * warp_lanes + lane;
      constexpr int quads = outs / 4;
      GRADUS_UNROLL
      for (int i = thread; i < window_pixels * quads; i += threads_per_block) {
        const int pixel = i / quads, channel = 4 * (i - pixel * quads);
        const int row = y_row + (pixel >> log_columns), column = y_column + (pixel & (columns - 1));
        const bool there = row < out_height && column < out_width && first_out + channel < out_channels;
        const int from = ((image * out_height + row) * out_width + column) * out_channels + first_out + channel;
        copy_async(stage.gy + pixel * gy_stride + channel, gy + (there ? from : 0), there);
      }
      constexpr int x_quads = ins / 4;
      const int x_row = y_row * step - top, x_column = y_column * step - left;
      for (int i = thread; i < patch * x_quads; i += threads_per_block) {
        const int pixel = i / x_quads, channel = 4 * (i % x_quads);
        const int in_patch = pixel * reciprocal >> 16;
        const int row = x_row + in_patch, column = x_column + pixel - in_patch * patch_width;
        const bool there =
            row >= 0 && row < height && column >= 0 && column < width && first_in + channel < in_channels;
        const int from = ((image * height + row) * width + column) * in_channels + first_in + channel;
        copy_async(stage.x + pixel * x_stride + channel, x + (there ? from : 0), there);
      }
    });
  }

  /// Output channels of a lane lie side by side, 2 of each tile: rows g and g + 8 of tile t stand for channels
  /// 2 tiles g + 2t and the next one.
  GRADUS_ANYWHERE static void load_left(const float* from, PerLane<Left> (&left)[tiles], int lane) {
    constexpr int at_once = tiles % 2 == 0 ? 4 : 2;
    using Some = Floats<at_once>;
    GRADUS_UNROLL
    for (int i = 0; i < 2 * tiles; i += at_once) {
      const Some near = *reinterpret_cast<const Some*>(from + i);
      const Some far = *reinterpret_cast<const Some*>(from + second_column * gy_stride + i);
      GRADUS_UNROLL
      for (int k = 0; k < at_once; ++k) {
        uint32_t* const to = left[(i + k) / 2][lane].at;
        to[k % 2] = tf32_of(near.at[k]);
        to[2 + k % 2] = tf32_of(far.at[k]);
      }
    }
  }

  /// Goes through the window by 2 rows of 8 pixels, one product for each of the rows.
  GRADUS_ANYWHERE void multiply(const Stage& stage, int warp, Local& local) const {
    const int first_out = warp % 2 * outs_of_warp, first_in = warp / 2 * ins_of_warp;
    const int log_pieces = log_columns - 3;  // of 8 pixels, in a row
    GRADUS_UNROLL
    for (int piece = 0; piece < window_pixels / (2 * terms); ++piece) {
      const int row = 2 * (piece >> log_pieces), column = terms * (piece & ((1 << log_pieces) - 1));
      PerLane<Left> left[2][tiles];
      PerLane<uint32_t> met[met_rows][met_columns];
      for_lanes([&](int lane) {
        const int own = column + lane % 4 * lane_columns;
        GRADUS_UNROLL
        for (int down = 0; down < 2; ++down) {
          const int pixel = ((row + down) << log_columns) + own;
          load_left(stage.gy + pixel * gy_stride + first_out + lane / 4 * 2 * tiles, left[down], lane);
        }
        const float* const corner = stage.x + (row * patch_width + own) * step * x_stride + first_in + lane / 4;
        GRADUS_UNROLL
        for (int down = 0; down < met_rows; ++down) {
          GRADUS_UNROLL
          for (int i = 0; i < met_columns; ++i) {
            const int right = step == 1 ? i : i / side * step * second_column + i % side;
            met[down][i][lane] = tf32_of(corner[(down * patch_width + right) * x_stride]);
          }
        }
      });
      GRADUS_UNROLL
      for (int down = 0; down < 2; ++down) {  // the outer loop: a sum is added to again as late as can be
        GRADUS_UNROLL
        for (int tap = 0; tap < taps; ++tap) {
          constexpr int apart = step == 1 ? 1 : side;
          const int at_row = down * step + tap / side, at_column = tap % side;
          PerLane<Right> right;
          for_lanes([&](int lane) {
            right[lane] = {met[at_row][at_column][lane], met[at_row][at_column + apart][lane]};
          });
          GRADUS_UNROLL
          for (int t = 0; t < tiles; ++t) multiply_tf32(local.sums[t][tap], left[down][t], right);
        }
      }
    }
  }

  GRADUS_ANYWHERE void write(int64_t block, int warp, const Local& local) const {
    for_lanes([&](int lane) {
      const int out = warp % 2 * outs_of_warp + lane / 4 * 2 * tiles, in = warp / 2 * ins_of_warp + lane % 4 * 2;
      float* const to = sums_of_parts + (block * taps * outs + out) * ins + in;
      GRADUS_UNROLL
      for (int tap = 0; tap < taps; ++tap) {
        GRADUS_UNROLL
        for (int t = 0; t < tiles; ++t) {
          const float* const sums = local.sums[t][tap][lane].at;
          float* const row = to + (tap * outs + 2 * t) * ins;
          *reinterpret_cast<Floats<2>*>(row) = {sums[0], sums[1]};
          *reinterpret_cast<Floats<2>*>(row + ins) = {sums[2], sums[3]};
        }
      }
    });
  }
};

/// Adds the parts: index [slices, taps, outs, ins].
struct AddPartsOfProducts {
  static constexpr int at_once = 12;  // loads under way
  const float* sums_of_parts;
  int64_t elements;  // of a part
  int parts, outs, in_slices;
  int out_channels, in_channels;
  Filters gw;

  GRADUS_ANYWHERE void operator()(int64_t i) const {
    const auto number = static_cast<int>(i);
    const int rows = number / ins, of_slice = taps * outs, slice = rows / of_slice;
    const int tap = (rows - slice * of_slice) / outs;
    const int out = slice / in_slices * outs + rows % outs, in = slice % in_slices * ins + number % ins;
    if (out >= out_channels || in >= in_channels) return;
    float total = 0;
    for (int first = 0; first < parts; first += at_once) {
      float some[at_once] = {};
      GRADUS_UNROLL
      for (int k = 0; k < at_once; ++k)
        if (first + k < parts) some[k] = sums_of_parts[(first + k) * elements + i];
      GRADUS_UNROLL
      for (int k = 0; k < at_once; ++k) total += some[k];
    }
    gw.set(out, in, tap / side, tap % side, total);
  }
};

template <int tiles, int step>
void run(const ConvOperands& o, const Conv2dSpec& spec, const GradWeightCut& cut, int64_t blocks) {
  const Shape &x = o.x.shape(), &y = o.y.shape();
  const auto number = [](int64_t n) { return static_cast<int>(n); };
  const int64_t slices = cut.out_slices * cut.in_slices;
  const int64_t parts = std::clamp<int64_t>(blocks / slices, 1, cut.windows);
  const int64_t elements = slices * taps * cut.outs * ins;
  const int64_t patch_width = (cut.width - 1) * step + side,
                patch_height = (window_pixels / cut.width - 1) * step + side;
  const Storage scratch = Storage::allocate(static_cast<size_t>(parts * elements) * sizeof(float));
  auto* const sums = static_cast<float*>(scratch.data());
  const int64_t across = (y[3] + cut.width - 1) / cut.width;
  for_each_block(slices * parts,
                 Products<tiles, step>{.x = static_cast<const float*>(o.x.raw()),
                                       .gy = static_cast<const float*>(o.y.raw()),
                                       .in_channels = number(x[1]),
                                       .height = number(x[2]),
                                       .width = number(x[3]),
                                       .out_channels = number(y[1]),
                                       .out_height = number(y[2]),
                                       .out_width = number(y[3]),
                                       .top = number(spec.padding[0]),
                                       .left = number(spec.padding[1]),
                                       .log_columns = std::countr_zero(static_cast<unsigned>(cut.width)),
                                       .windows_across = number(across),
                                       .of_image = number(cut.windows / y[0]),
                                       .patch_width = number(patch_width),
                                       .patch = number(patch_width * patch_height),
                                       .reciprocal = number(65536 / patch_width + 1),
                                       .in_slices = number(cut.in_slices),
                                       .slices = number(slices),
                                       .parts = number(parts),
                                       .windows = cut.windows,
                                       .sums_of_parts = sums});
  for_each(elements, AddPartsOfProducts{.sums_of_parts = sums,
                                        .elements = elements,
                                        .parts = number(parts),
                                        .outs = number(cut.outs),
                                        .in_slices = number(cut.in_slices),
                                        .out_channels = number(y[1]),
                                        .in_channels = number(x[1]),
                                        .gw = Filters(o.w)});
}

template <int tiles>
size_t shared_of(bool strided) {
  return strided ? sizeof(typename Products<tiles, 2>::Shared) : sizeof(typename Products<tiles, 1>::Shared);
}

}  // namespace

size_t grad_weight_shared(const Shape& w, const Shape& y, const Conv2dSpec& spec) {
  const bool wide = grad_weight_cut(w, y).outs == 96, strided = spec.stride[0] == 2;
  return wide ? shared_of<3>(strided) : shared_of<2>(strided);
}

void grad_weight(const ConvOperands& o, const Conv2dSpec& spec, int64_t blocks) {
  const GradWeightCut cut = grad_weight_cut(o.w.shape(), o.y.shape());
  const bool wide = cut.outs == 96, strided = spec.stride[0] == 2;
  (wide ? strided ? run<3, 2> : run<3, 1> : strided ? run<2, 2> : run<2, 1>)(o, spec, cut, blocks);
}

}  // namespace gradus::cuda
