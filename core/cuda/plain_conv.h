// Convolutions as plain sums of products, in double, for any strides and dtypes: the float64 path, and what a library's
// plan is checked with before it is used.
#pragma once

#include "core/conv_key.h"
#include "core/kernels.h"

namespace gradus::cuda {

/// The tensors of one pass: of x, w and y, one is the output and the others are inputs. The bias and ReLU belong to the
/// forward pass alone.
struct ConvOperands {
  Tensor x, w, y, bias = {};
  bool relu = false;
};

inline const Tensor& output_of(ConvPass pass, const ConvOperands& o) {
  return pass == ConvPass::forward ? o.y : pass == ConvPass::grad_input ? o.x : o.w;
}

/// Computes the output.
void plain_conv(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec);

/// y = relu(y + bias), either part optional, in place; y [N, C, H, W], bias [C].
void add_bias_relu(const Tensor& bias, bool relu, Tensor& y);

/// Relative L2 distance of an output that is there already from the plain sums, over a sample of its elements whose
/// sums take no more than a few billion products; NaN where any element of it is NaN. For the host: waits for the
/// device.
double relative_error(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec);

}  // namespace gradus::cuda
