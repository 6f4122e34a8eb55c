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

}  // namespace gradus::cpu
