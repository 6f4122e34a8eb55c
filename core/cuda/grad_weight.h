// The weight's gradient of 3x3 convolutions in TF32 by kernels of our own: products on the tensor cores of what a block
// loads once for all nine taps. The sum runs over pixels, whose values are far apart in memory; kernels of cuDNN that
// meet them so reach a fifth of the tensor cores' speed.
#pragma once

#include "core/cuda/plain_conv.h"

namespace gradus::cuda {

/// Runs the pass by these kernels where they can and pay. False where they do not, or fail their check (conv_check.h);
/// the output is unchanged then.
bool grad_weight_conv(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec);

/// Whether the kernels can do it: the weight's gradient in TF32 mode; 3x3 filters, strides of 1 or of 2, one group, any
/// padding; x and y float32 and channels-last with channels in multiples of 4; on a GPU with enough shared memory.
bool grad_weight_can(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec);

/// The rule, which knows nothing but shapes: whether there is enough work, and little of it outside of the tensors.
bool grad_weight_pays(const Shape& w, const Shape& y);

/// One block on each of 132 multiprocessors. A constant, so that equal runs give equal bits on every GPU.
inline constexpr int64_t grad_weight_blocks = 132;

/// Bytes of shared memory that a block needs.
size_t grad_weight_shared(const Shape& w, const Shape& y, const Conv2dSpec& spec);

/// What grad_weight_can() allows, on about this many blocks.
void grad_weight(const ConvOperands& operands, const Conv2dSpec& spec, int64_t blocks = grad_weight_blocks);

/// How the work is cut: a block sums `outs` output channels by 32 input channels by nine taps, 64 pixels at a time:
/// those of a window of y, `width` of each row.
struct GradWeightCut {
  int64_t outs, width;
  int64_t out_slices, in_slices, windows;  // windows: of all images

  friend bool operator==(const GradWeightCut&, const GradWeightCut&) = default;
};
GradWeightCut grad_weight_cut(const Shape& w, const Shape& y);

}  // namespace gradus::cuda
