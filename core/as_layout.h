// Operands in the memory order that a kernel wants: the tensor itself where its strides agree, else a copy.
// Private to core.
#pragma once

#include "core/kernels.h"
#include "core/tensor.h"

namespace gradus {

inline bool has_layout(const Tensor& x, Layout layout) {
  return layout == Layout::channels_last ? x.is_channels_last() : x.is_contiguous();
}

/// x, or a copy of it, in that layout. An undefined tensor stays undefined.
inline Tensor as_layout(const Tensor& x, Layout layout) {
  if (!x.defined() || has_layout(x, layout)) return x;
  Tensor copy = Tensor::empty(x.shape(), x.dtype(), layout);
  kernels::copy(x, copy);
  return copy;
}

/// Calls body(y) with y in that layout: `out` itself where it has it, else a temporary that is copied to `out` after.
template <class Body>
void write_as_layout(Tensor& out, Layout layout, Body&& body) {
  if (has_layout(out, layout)) return body(out);
  Tensor temporary = Tensor::empty(out.shape(), out.dtype(), layout);
  body(temporary);
  kernels::copy(temporary, out);
}

}  // namespace gradus
