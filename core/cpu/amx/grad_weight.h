// Gradient of a convolution's weight from bfloat16 activations on AMX tiles (Intel's matrix unit): a matrix product
// over all output pixels for each tap of the filter. oneDNN 2.6's kernels for the same take two to eight times as long.
// Private to core/cpu.
#pragma once

#include <cstdint>

#include "core/kernels.h"

namespace gradus::cpu::amx {

/// Whether this processor has tiles of bfloat16 and the system lets this process use them.
bool available();

/// One convolution, seen from its forward pass; without groups and dilation.
struct Problem {
  int64_t images, height, width, out_height, out_width;
  int64_t in, out;  ///< channels: multiples of 32
  int64_t kernel_height, kernel_width, pad_top, pad_left, stride_height, stride_width;
};

/// gw [O, I, kh, kw] from x [N, H, W, I] and gy [N, H', W', O]. Sums are split over threads: the bits depend on their
/// number, on nothing else.
void grad_weight(const Problem& p, const bfloat16* x, const bfloat16* gy, float* gw);

}  // namespace gradus::cpu::amx
