// Convolution with 3x3 filters at stride 1 by Winograd's minimal filtering, F(4x4, 3x3): for 4x4 outputs 36 products
// where the plain sum has 144. (Lavin & Gray 2016; interpolation points 0, +-5/8, +-3/2 and infinity, as on the CPU.)
// Strict float32. Own kernels make points of data, filters and gradients and turn products of points back; the products
// are one batch of 36 matrix products, or of several times 36.
#pragma once

#include "core/cuda/plain_conv.h"

namespace gradus::cuda {

/// How a pass is cut: into chunks of so many whole images, whose points are in memory at a time; and in the gradient of
/// the weight, whose products have few outputs and long sums, a chunk's tiles into so many parts.
struct WinogradCut {
  int64_t images, parts = 1;
};

/// Runs one pass by Winograd's algorithm where it can and pays. False where it does not, or fails its check
/// (conv_check.h); the output is unchanged then.
bool winograd_conv(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec);

/// Whether the kernels can do it: 3x3 filters, stride and dilation 1, one group, any padding; float32 without TF32;
/// channels-last activations in multiples of 4 channels, and a weight, or its gradient, of any strides.
bool winograd_can(const ConvOperands& operands, const Conv2dSpec& spec);

/// The rules, which know nothing but shapes, so that equal runs give equal bits: whether the algorithm should be faster
/// than cuDNN's, and how it is cut.
bool winograd_pays(const Shape& x, const Shape& w, const Shape& y);
WinogradCut winograd_cut(ConvPass pass, const Shape& x, const Shape& w, const Shape& y);

/// What winograd_can() allows, cut as it is told.
void winograd(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec, const WinogradCut& cut);

}  // namespace gradus::cuda
