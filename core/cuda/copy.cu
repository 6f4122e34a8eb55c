// Copies: whole blocks of memory, tiles turned over in shared memory, or one element at a time with conversion.
#include "core/cuda/corner_copy.h"
#include "core/cuda/element.h"
#include "core/cuda/walk.h"
#include "core/kernels.h"

namespace gradus::kernels {
namespace {

using namespace cuda;

/// Through W, which holds every value of the source.
template <class W>
struct Convert {
  Walk<2> walk;  // out, x
  const void* x;
  void* out;
  DType x_type, out_type;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[2];
    walk.places(i, at);
    store<W>(out, out_type, at[0], load<W>(x, x_type, at[1]));
  }
};

/// Elements of one size, whatever they mean.
template <class Bits>
struct Move {
  Walk<2> walk;  // out, x
  const Bits* x;
  Bits* out;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[2];
    walk.places(i, at);
    out[at[0]] = x[at[1]];
  }
};

/// A batch of transpositions of matrices without gaps: out[b][r][c] = x[b][c][r]. A block turns a tile over, so that it
/// reads and writes along rows; the tile's rows are one longer than needed, so that its columns lie in different banks.
template <class Bits>
struct Transpose {
  static constexpr int tile = 32, rows_at_once = threads_per_block / tile;
  struct Shared {
    Bits at[tile][tile + 1];
  };
  const Bits* x;
  Bits* out;
  int64_t rows, columns, row_tiles, column_tiles;  // of out

  GRADUS_ANYWHERE int phases() const { return 2; }
  GRADUS_ANYWHERE void operator()(int phase, int64_t block, int thread, Shared& shared) const {
    const int64_t column = block % column_tiles * tile, row = block / column_tiles % row_tiles * tile;
    const int64_t matrix = block / column_tiles / row_tiles * rows * columns;
    const int inner = thread % tile;
    for (int outer = thread / tile; outer < tile; outer += rows_at_once) {
      if (phase == 0) {  // x[column + outer][row + inner]
        if (column + outer < columns && row + inner < rows)
          shared.at[outer][inner] = x[matrix + (column + outer) * rows + row + inner];
      } else {
        if (row + outer < rows && column + inner < columns)
          out[matrix + (row + outer) * columns + column + inner] = shared.at[inner][outer];
      }
    }
  }
};

struct Transposition {
  int64_t batch = 0, rows = 0, columns = 0;  // of out; batch 0: this copy is none
};

/// Recognises NCHW from NHWC memory and back, and the transpose of a matrix, all without gaps.
Transposition as_transposition(const Tensor& x, const Tensor& out) {
  if (x.rank() == 2 && x.is_dense() && out.is_dense()) {
    if (out.is_contiguous() && !x.is_contiguous()) return {1, x.size(0), x.size(1)};
    if (x.is_contiguous() && !out.is_contiguous()) return {1, x.size(1), x.size(0)};
  }
  if (x.rank() != 4) return {};
  const int64_t channels = x.size(1), pixels = x.size(2) * x.size(3);
  if (x.is_channels_last() && out.is_contiguous()) return {x.size(0), channels, pixels};
  if (x.is_contiguous() && out.is_channels_last()) return {x.size(0), pixels, channels};
  return {};
}

template <class Bits>
void move(const Tensor& x, Tensor& out, const Walk<2>& walk) {
  const auto* from = static_cast<const Bits*>(x.raw());
  auto* to = static_cast<Bits*>(out.raw());
  const Transposition t = as_transposition(x, out);
  if (t.batch == 0 || t.rows == 1 || t.columns == 1) return for_each(walk.count, Move<Bits>{walk, from, to});
  constexpr int64_t tile = Transpose<Bits>::tile;
  const int64_t row_tiles = (t.rows + tile - 1) / tile, column_tiles = (t.columns + tile - 1) / tile;
  for_each_block(t.batch * row_tiles * column_tiles,
                 Transpose<Bits>{from, to, t.rows, t.columns, row_tiles, column_tiles});
}

/// See corner_copy.h. The table travels with the launch.
struct ToCorners {
  static constexpr int64_t tile = 2048;  // elements of a block
  static constexpr size_t most = 64;
  struct Entry {
    const void* from;
    void* to;
    DType from_type, to_type;
    int64_t first_block, count;   // of `to`
    uint32_t inner[4], outer[4];  // extents of both, [N, C, H, W]
    int64_t stride[4];            // of `from`
  };
  struct Shared {};
  int entries = 0;
  Entry entry[most] = {};

  GRADUS_ANYWHERE int phases() const { return 1; }
  GRADUS_ANYWHERE void operator()(int, int64_t block, int thread, Shared&) const {
    int at = 0;
    for (int i = 1; i < entries; ++i) at += entry[i].first_block <= block ? 1 : 0;
    const Entry& e = entry[at];
    const int64_t begin = (block - e.first_block) * tile + thread;
    constexpr int of_thread = tile / threads_per_block;
    float values[of_thread];  // all of whose loads are under way at once
    GRADUS_UNROLL
    for (int k = 0; k < of_thread; ++k) {
      const int64_t i = begin + k * threads_per_block;
      values[k] = i < e.count ? value(e, static_cast<uint32_t>(i)) : 0;
    }
    GRADUS_UNROLL
    for (int k = 0; k < of_thread; ++k) {
      const int64_t i = begin + k * threads_per_block;
      if (i < e.count) store<float>(e.to, e.to_type, i, values[k]);
    }
  }

  /// Of element i in memory's order: N, H, W, C.
  GRADUS_ANYWHERE static float value(const Entry& e, uint32_t i) {
    uint32_t rest = i;
    const uint32_t c = rest % e.outer[1];
    rest /= e.outer[1];
    const uint32_t w = rest % e.outer[3];
    rest /= e.outer[3];
    const uint32_t h = rest % e.outer[2], n = rest / e.outer[2];
    if (n >= e.inner[0] || c >= e.inner[1] || h >= e.inner[2] || w >= e.inner[3]) return 0;
    return load<float>(e.from, e.from_type, n * e.stride[0] + c * e.stride[1] + h * e.stride[2] + w * e.stride[3]);
  }
};
static_assert(sizeof(ToCorners) < 32000);

}  // namespace

void copy(const Tensor& x, Tensor& out) {
  const Walk<2> walk = walk_over(out, x);
  if (walk.count == 0) return;
  if (x.dtype() == out.dtype()) {
    if (x.raw() == out.raw() && x.strides() == out.strides()) return;
    const size_t size = size_of(x.dtype());
    if (walk.flat()) return copy_bytes(out.raw(), x.raw(), static_cast<size_t>(walk.count) * size);
    switch (size) {
      case 1: return move<uint8_t>(x, out, walk);
      case 2: return move<uint16_t>(x, out, walk);
      case 4: return move<uint32_t>(x, out, walk);
      default: return move<uint64_t>(x, out, walk);
    }
  }
  if (x.dtype() == DType::float64)
    for_each(walk.count, Convert<double>{walk, x.raw(), out.raw(), x.dtype(), out.dtype()});
  else if (is_floating(x.dtype()))
    for_each(walk.count, Convert<float>{walk, x.raw(), out.raw(), x.dtype(), out.dtype()});
  else
    for_each(walk.count, Convert<int64_t>{walk, x.raw(), out.raw(), x.dtype(), out.dtype()});
}

}  // namespace gradus::kernels

namespace gradus::cuda {

void copy_to_corners(std::span<const CornerCopy> copies) {
  while (!copies.empty()) {
    const auto some = copies.first(std::min(copies.size(), kernels::ToCorners::most));
    kernels::ToCorners work;
    int64_t blocks = 0;
    for (const auto& [from, to] : some) {
      auto& e = work.entry[work.entries++];
      e.from = from.raw(), e.to = to.raw();
      e.from_type = from.dtype(), e.to_type = to.dtype();
      e.first_block = blocks, e.count = to.numel();
      for (int d = 0; d < 4; ++d) {
        const bool is_there = d < from.rank();
        e.inner[d] = is_there ? static_cast<uint32_t>(from.shape()[d]) : 1;
        e.outer[d] = is_there ? static_cast<uint32_t>(to.shape()[d]) : 1;
        e.stride[d] = is_there ? from.strides()[d] : 0;
      }
      blocks += (e.count + kernels::ToCorners::tile - 1) / kernels::ToCorners::tile;
    }
    for_each_block(blocks, work);
    copies = copies.subspan(some.size());
  }
}

}  // namespace gradus::cuda
