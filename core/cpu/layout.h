// Operands in the memory order and dtype that a kernel of the CPU wants. Private to core/cpu.
#pragma once

#include "core/as_layout.h"

namespace gradus::cpu {

using gradus::as_layout;
using gradus::write_as_layout;

/// x, or of bfloat16 a copy in float32 and in the same order in memory.
inline Tensor in_float32(const Tensor& x) {
  if (x.dtype() == DType::float32) return x;
  Tensor wide = Tensor::empty(x.shape(), DType::float32,
                              has_layout(x, Layout::channels_last) ? Layout::channels_last : Layout::contiguous);
  kernels::copy(x, wide);
  return wide;
}

/// A view with dimension `dim` last.
inline Tensor with_last(const Tensor& x, int dim) {
  Shape shape = x.shape();
  Strides strides = x.strides();
  shape.erase(dim);
  strides.erase(dim);
  shape.push_back(x.shape()[dim]);
  strides.push_back(x.strides()[dim]);
  return Tensor(x.storage(), x.offset(), shape, strides, x.dtype());
}

/// x [N, C, ...] as [N, C, H, W]: a view, or of more than four dimensions that are not row-major a copy.
inline Tensor with_rank_4(const Tensor& x) {
  const Tensor dense = x.rank() > 4 ? as_layout(x, Layout::contiguous) : x;
  Shape shape = dense.shape();
  Strides strides = dense.strides();
  while (shape.rank() < 4) {
    shape.push_back(1);
    strides.push_back(1);
  }
  if (shape.rank() > 4) {
    for (int last = shape.rank() - 1; last >= 4; --last) {
      shape[last - 1] *= shape[last];
      shape.erase(last);
    }
    strides = contiguous_strides(shape);
  }
  return Tensor(dense.storage(), dense.offset(), shape, strides, dense.dtype());
}

/// x [N, C, ...] as rows of channels: with rank 4 and channels-last.
inline Tensor as_channel_rows(const Tensor& x) { return as_layout(with_rank_4(x), Layout::channels_last); }

/// Calls body(y) with y such rows that end up in `out`.
template <class Body>
void write_as_channel_rows(Tensor& out, Body&& body) {
  if (out.rank() > 4 && !out.is_contiguous())
    return write_as_layout(out, Layout::contiguous, [&](Tensor& dense) { write_as_channel_rows(dense, body); });
  Tensor view = with_rank_4(out);
  write_as_layout(view, Layout::channels_last, body);
}

}  // namespace gradus::cpu
