// Convolution of few input channels with 3x3 filters, the first layer of image networks: the forward pass
// and the gradient of the weight. So little is summed for an output that libraries' tiles stay half empty. In strict
// float32 they are direct sums; in bfloat16 and TF32 products on the tensor cores, which read and write as fast as
// memory does.
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

/// What came after a convolution, where the gradient before it is asked for: y = relu(z + bias). gbias is an output.
/// With y undefined there was nothing.
struct BeforeRelu {
  Tensor y, gbias;
};

/// Whether few_channels() goes through `relu` in the same pass over y's gradient: on the tensor cores only, with y in
/// the form of its gradient.
bool few_channels_masks(const ConvOperands& operands, const BeforeRelu& relu);

/// The gradients of the weight, operands.w, and of the bias, where the kernels can do it and pay. False where they do
/// not, or fail their check; the outputs are unchanged then.
bool few_channels_gradients(const ConvOperands& operands, const BeforeRelu& relu, const Conv2dSpec& spec);

/// What few_channels_can() allows, by this many blocks at most (for each part of the output channels). Activations of
/// bfloat16 meet a weight and a bias that are rounded to bfloat16; the weight's gradient is rounded to its own dtype
/// only. In TF32 x, the weight and the gradient of y are rounded to 10 bits of mantissa.
void few_channels(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec, const BeforeRelu& relu = {},
                  int64_t most_blocks = few_channels_blocks);

/// The two kinds of kernels: direct sums in float32 (both passes); products on the tensor cores.
void few_channels_sums(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec, int64_t most_blocks);
void few_channels_forward(const ConvOperands& operands, const Conv2dSpec& spec, int64_t most_blocks);
void few_channels_gradient(const ConvOperands& operands, const BeforeRelu& relu, const Conv2dSpec& spec,
                           int64_t most_blocks);

}  // namespace gradus::cuda
