// Convolution of few input channels with 3x3 filters, the first layer of image networks, by direct sums in float32: the
// forward pass and the gradient of the weight. So little is summed for an output that libraries' tiles stay half empty.
#pragma once

#include "core/cuda/plain_conv.h"

namespace gradus::cuda {

/// Runs one pass by these kernels where they can and pay. False where they do not, or fail their check (conv_check.h);
/// the output is unchanged then.
bool few_channels_conv(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec);

/// Whether the kernels can do it: 3x3 filters, 1 to 4 input channels, output channels in multiples of 8, one group, any
/// stride, padding and dilation; activations of one dtype, float32 or bfloat16, x of any strides and y channels-last.
/// Not for the gradient of the input.
bool few_channels_can(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec);

/// The rule, which knows nothing but shapes: whether there are enough outputs to fill a GPU.
bool few_channels_pays(const Shape& w, const Shape& y);

/// About two blocks on each of 132 multiprocessors: all run at the same time. A constant, so that equal runs give equal
/// bits on every GPU.
inline constexpr int64_t few_channels_blocks = 264;

/// What few_channels_can() allows, by this many blocks at most (for each part of the output channels). Activations of
/// bfloat16 meet a weight and a bias that are rounded to bfloat16; the weight's gradient is rounded to its own dtype
/// only.
void few_channels(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec,
                  int64_t most_blocks = few_channels_blocks);

}  // namespace gradus::cuda
