// Copies: flat, transposing, or converting, between float32, bfloat16 and bytes by vector loops.
#include <algorithm>
#include <cstring>

#include "core/cpu/loops.h"
#include "core/cpu/parts.h"
#include "core/cpu/stretch.h"
#include "core/cpu/vector/kernels.h"
#include "core/kernels.h"
#include "core/parallel.h"

namespace gradus::kernels {

namespace {

constexpr int64_t tile = 32;  // elements along either side

/// A dimension of both tensors of a copy.
struct Dimension {
  int64_t extent, from_stride, to_stride;
};

/// A copy between memory orders as many plain transpositions: to[r * columns.to_stride + c] = from[c + r *
/// rows.from_stride] where rows lie together in one tensor and columns in the other.
struct Transposition {
  Dimension rows, columns;  // columns.to_stride and rows.from_stride are 1
  Dimension outer[max_rank];
  int outer_count = 0;

  int64_t batch() const {
    int64_t count = 1;
    for (int d = 0; d < outer_count; ++d) count *= outer[d].extent;
    return count;
  }
};

/// Recognizes tensors whose elements lie together along different dimensions, such as NCHW and NHWC memory or a matrix
/// and its transpose.
bool as_transposition(const Tensor& x, const Tensor& out, Transposition& t) {
  Dimension list[max_rank];
  int used = 0;
  for (int d = 0; d < x.rank(); ++d) {  // by falling stride of `out`
    if (x.shape()[d] == 1) continue;
    int at = used++;
    for (; at > 0 && list[at - 1].to_stride < out.strides()[d]; --at) list[at] = list[at - 1];
    list[at] = {x.shape()[d], x.strides()[d], out.strides()[d]};
  }
  int count = 0;
  for (int d = 0; d < used; ++d) {  // neighbors in both become one
    const Dimension& next = list[d];
    if (count > 0 && list[count - 1].from_stride == next.from_stride * next.extent &&
        list[count - 1].to_stride == next.to_stride * next.extent)
      list[count - 1] = {list[count - 1].extent * next.extent, next.from_stride, next.to_stride};
    else
      list[count++] = next;
  }
  if (count < 2 || list[count - 1].to_stride != 1 || list[count - 1].from_stride == 1) return false;
  t.columns = list[count - 1];
  bool found = false;
  for (int d = 0; d < count - 1; ++d) {
    if (!found && list[d].from_stride == 1) {
      t.rows = list[d];
      found = true;
    } else {
      t.outer[t.outer_count++] = list[d];
    }
  }
  return found;
}

/// `rows` x `columns` elements through a buffer, so that either side is read and written a few cache lines at a time,
/// one after another: lines whose addresses differ by a power of two would push each other out of the cache.
template <class T>
void transpose_tile(const T* from, int64_t from_stride, T* to, int64_t to_stride, int64_t rows, int64_t columns) {
  constexpr int64_t buffer_row = tile + 1;
  T buffer[tile * buffer_row];
  for (int64_t c = 0; c < columns; ++c)
    for (int64_t r = 0; r < rows; ++r) buffer[r * buffer_row + c] = from[c * from_stride + r];
  for (int64_t r = 0; r < rows; ++r)
    std::memcpy(to + r * to_stride, buffer + r * buffer_row, static_cast<size_t>(columns) * sizeof(T));
}

/// In strips of tiles across the shorter side, which are short in memory on one side at least.
template <class T>
void transpose(const T* from, T* to, const Transposition& t) {
  const bool by_rows = t.rows.extent >= t.columns.extent;
  const int64_t extent = by_rows ? t.rows.extent : t.columns.extent,
                across = by_rows ? t.columns.extent : t.rows.extent;
  const int64_t strips = (extent + tile - 1) / tile, grain = std::max<int64_t>(1, 32768 / (tile * across));
  parallel_for(t.batch() * strips, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T* source = from;
      T* target = to;
      int64_t rest = i / strips;
      for (int d = t.outer_count - 1; d >= 0; --d) {
        const int64_t at = rest % t.outer[d].extent;
        rest /= t.outer[d].extent;
        source += at * t.outer[d].from_stride;
        target += at * t.outer[d].to_stride;
      }
      for (int64_t at = 0; at < across; at += tile) {
        const int64_t row = by_rows ? i % strips * tile : at, column = by_rows ? at : i % strips * tile;
        transpose_tile(source + column * t.columns.from_stride + row, t.columns.from_stride,
                       target + row * t.rows.to_stride + column, t.rows.to_stride, std::min(tile, t.rows.extent - row),
                       std::min(tile, t.columns.extent - column));
      }
    }
  });
}

/// Between tensors of one dtype and the same dense order in memory.
void move(const Tensor& x, Tensor& out) {
  const auto size = static_cast<int64_t>(size_of(x.dtype()));
  const auto* from = static_cast<const char*>(x.raw());
  auto* to = static_cast<char*>(out.raw());
  parallel_for(x.numel() * size, int64_t{4} * cpu::elementwise_grain, [&](int64_t begin, int64_t end) {
    std::memmove(to + begin, from + begin, static_cast<size_t>(end - begin));
  });
}

/// Between tensors of one dtype; false where their memory is no transposition.
bool transpose(const Tensor& x, Tensor& out) {
  Transposition t;
  if (!as_transposition(x, out, t)) return false;
  const auto run = [&]<class T>(T) { transpose(static_cast<const T*>(x.raw()), static_cast<T*>(out.raw()), t); };
  switch (size_of(x.dtype())) {
    case 1: run(uint8_t()); break;
    case 2: run(uint16_t()); break;
    case 4: run(uint32_t()); break;
    default: run(uint64_t());
  }
  return true;
}

}  // namespace

void copy(const Tensor& x, Tensor& out) {
  if (out.numel() == 0) return;
  if (x.dtype() == out.dtype()) {
    if (x.strides() == out.strides() && out.is_dense()) return move(x, out);
    if (transpose(x, out)) return;
  }
  if (cpu::in_floats(out) && cpu::in_floats(x)) {
    cpu::for_each_flat<2>({&out, &x}, 0, [](const auto& data, uint32_t, int64_t count) {
      std::memmove(data[0], data[1], static_cast<size_t>(count) * sizeof(float));
    });
  } else if (cpu::in_floats(out) && (x.dtype() == DType::uint8 || x.dtype() == DType::boolean)) {
    cpu::for_each_flat<2>({&out, &x}, 0, [](const auto& data, uint32_t, int64_t count) {
      cpu::vector::kernels().from_bytes(reinterpret_cast<const uint8_t*>(data[1]), reinterpret_cast<float*>(data[0]),
                                        count);
    });
  } else {
    cpu::by_parts(
        out, [](Tensor& to, const Tensor& from) { ref::copy(from, to); }, x);
  }
}

}  // namespace gradus::kernels
