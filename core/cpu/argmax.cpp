// The first largest element along a dimension. Of float32: rows are searched for the maximum that they were found to
// have, and other dimensions are walked as max pooling walks a window. Anything else in parts by the reference.
#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>

#include "core/cpu/layout.h"
#include "core/cpu/parts.h"
#include "core/cpu/vector/kernels.h"
#include "core/kernels.h"
#include "core/parallel.h"

namespace gradus::kernels {

namespace {

/// Elements that are worth a thread.
constexpr int64_t searched_elements = 16384;

/// The first element of a row that equals its maximum, or is NaN like it.
int64_t find_maximum(const float* x, int64_t n, float maximum) {
  constexpr int64_t block = 32;
  int64_t begin = 0;
  for (; begin + block < n; begin += block) {
    int found = 0;  // without a way out, so that the compiler makes vectors of it
    for (int64_t i = begin; i < begin + block; ++i) found |= (x[i] == maximum) | (x[i] != x[i]);
    if (found) break;
  }
  while (x[begin] < maximum || (x[begin] == x[begin] && maximum != maximum)) ++begin;
  return begin;
}

void argmax_of_rows(const float* x, int64_t rows, int64_t n, int64_t* index) {
  const auto max = cpu::vector::kernels().reduce_row[static_cast<int>(ReduceOp::max)];
  parallel_for(rows, std::max<int64_t>(1, searched_elements / n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) index[r] = find_maximum(x + r * n, n, static_cast<float>(max(x + r * n, n)));
  });
}

/// Of x [blocks, extent, columns], along the middle.
void argmax_of_columns(const float* x, int64_t blocks, int64_t extent, int64_t columns, int64_t* index) {
  constexpr int64_t tile = 1024;
  const auto raise = cpu::vector::kernels().raise_maximum;
  const int64_t tiles = (columns + tile - 1) / tile, work = std::min(tile, columns) * extent;
  parallel_for(blocks * tiles, std::max<int64_t>(1, searched_elements / work), [&](int64_t begin, int64_t end) {
    float largest[tile];
    int32_t winner[tile];
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t block = unit / tiles, column = unit % tiles * tile, n = std::min(tile, columns - column);
      const float* from = x + block * extent * columns + column;
      std::copy_n(from, n, largest);
      std::fill_n(winner, n, 0);
      for (int64_t i = 1; i < extent; ++i) raise(from + i * columns, static_cast<int32_t>(i), largest, winner, n);
      std::copy_n(winner, n, index + block * columns + column);
    }
  });
}

int64_t extents_between(const Shape& shape, int begin, int end) {
  return std::accumulate(shape.begin() + begin, shape.begin() + end, int64_t{1}, std::multiplies<>());
}

}  // namespace

void argmax(const Tensor& x, int dim, Tensor& out) {
  constexpr int64_t short_row = 64, few_columns = 8;  // not worth a call each
  if (out.numel() == 0) return;
  const int last = x.rank() - 1;
  const int64_t extent = x.shape()[dim], columns = extents_between(x.shape(), dim + 1, x.rank());
  const bool floats = x.dtype() == DType::float32 && extent <= std::numeric_limits<int32_t>::max();
  if (dim != last && floats && x.strides()[dim] == 1) {  // rows in memory, whatever their number
    const Tensor moved = cpu::with_last(x, dim);
    Tensor moved_out = cpu::with_last(out, dim);
    return argmax(moved, last, moved_out);
  }
  if (floats && (columns == 1 ? extent >= short_row : columns >= few_columns)) {
    const Tensor input = cpu::as_layout(x, Layout::contiguous);
    return cpu::write_as_layout(out, Layout::contiguous, [&](Tensor& row_major) {
      const auto* from = static_cast<const float*>(input.raw());
      auto* to = static_cast<int64_t*>(row_major.raw());
      if (columns == 1) return argmax_of_rows(from, out.numel(), extent, to);
      argmax_of_columns(from, out.numel() / columns, extent, columns, to);
    });
  }
  const int split = cpu::longest_dim_but(dim, x.shape());
  if (split == dim) return ref::argmax(x, dim, out);
  cpu::for_each_part(x.shape(), split, [&](const cpu::Part& part) {
    Tensor to = part.of(out);
    ref::argmax(part.of(x), dim, to);
  });
}

}  // namespace gradus::kernels
