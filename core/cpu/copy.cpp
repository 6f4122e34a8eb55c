// Copies: flat, transposing, or converting between float32, bfloat16 and bytes.
#include <algorithm>
#include <cstring>

#include "core/cpu/loops.h"
#include "core/cpu/stretch.h"
#include "core/cpu/vector/kernels.h"
#include "core/kernels.h"
#include "core/parallel.h"

namespace gradus::kernels {

namespace {

/// A copy between memory orders as a batch of plain transpositions: to[r * to_stride + c] = from[c * from_stride + r].
struct Transposition {
  int64_t batch = 1, from_batch_stride = 0, to_batch_stride = 0;
  int64_t rows, columns, from_stride, to_stride;
};

/// Recognizes NCHW from NHWC memory and back, and the transpose of a matrix, all without gaps.
bool as_transposition(const Tensor& x, const Tensor& out, Transposition& t) {
  if (x.rank() == 2 && x.is_dense() && out.is_dense()) {
    const int64_t rows = x.size(0), columns = x.size(1);
    if (out.is_contiguous() && x.strides()[0] == 1 && x.strides()[1] == rows) {
      t = {.rows = rows, .columns = columns, .from_stride = rows, .to_stride = columns};
      return true;
    }
    if (x.is_contiguous() && out.strides()[0] == 1 && out.strides()[1] == rows) {
      t = {.rows = columns, .columns = rows, .from_stride = columns, .to_stride = rows};
      return true;
    }
    return false;
  }
  if (x.rank() != 4) return false;
  const int64_t image = x.size(1) * x.size(2) * x.size(3), channels = x.size(1), pixels = x.size(2) * x.size(3);
  if (x.is_channels_last() && out.is_contiguous()) {
    t = {x.size(0), image, image, channels, pixels, channels, pixels};
    return true;
  }
  if (x.is_contiguous() && out.is_channels_last()) {
    t = {x.size(0), image, image, pixels, channels, pixels, channels};
    return true;
  }
  return false;
}

void transpose(const float* from, float* to, const Transposition& t) {
  constexpr int64_t tile = 16;  // a cache line of floats on either side
  const int64_t tiles = (t.rows + tile - 1) / tile, grain = std::max<int64_t>(1, 32768 / (tile * t.columns));
  parallel_for(t.batch * tiles, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* source = from + i / tiles * t.from_batch_stride;
      float* target = to + i / tiles * t.to_batch_stride;
      const int64_t row = i % tiles * tile, row_end = std::min(row + tile, t.rows);
      for (int64_t column = 0; column < t.columns; column += tile) {
        const int64_t column_end = std::min(column + tile, t.columns);
        for (int64_t r = row; r < row_end; ++r)
          for (int64_t c = column; c < column_end; ++c) target[r * t.to_stride + c] = source[c * t.from_stride + r];
      }
    }
  });
}

}  // namespace

void copy(const Tensor& x, Tensor& out) {
  if (out.numel() == 0) return;
  if (cpu::in_floats(out) && cpu::in_floats(x)) {
    Transposition t;
    const bool plain = x.dtype() == DType::float32 && out.dtype() == DType::float32;
    if (plain && x.strides() != out.strides() && as_transposition(x, out, t))
      return transpose(static_cast<const float*>(x.raw()), static_cast<float*>(out.raw()), t);
    cpu::for_each_flat<2>({&out, &x}, 0, [](const auto& data, uint32_t, int64_t count) {
      std::memmove(data[0], data[1], static_cast<size_t>(count) * sizeof(float));
    });
  } else if (cpu::in_floats(out) && x.dtype() == DType::uint8) {
    cpu::for_each_flat<2>({&out, &x}, 0, [](const auto& data, uint32_t, int64_t count) {
      cpu::vector::kernels().from_bytes(reinterpret_cast<const uint8_t*>(data[1]), reinterpret_cast<float*>(data[0]),
                                        count);
    });
  } else {
    ref::copy(x, out);
  }
}

}  // namespace gradus::kernels
