// Direct convolution by oneDNN, on channels-last activations in float32 or bfloat16 and row-major OIHW weights without
// empty extents. Private to core/cpu; core/cpu/conv.cpp brings operands into this form.
#pragma once

#include "core/kernels.h"

namespace gradus::cpu {

void direct_conv_forward(const Tensor& x, const Tensor& w, const Tensor& bias, bool relu, const Conv2dSpec& spec,
                         Tensor& y);
void direct_conv_grad_input(const Tensor& gy, const Tensor& w, const Conv2dSpec& spec, Tensor& gx);
void direct_conv_grad_weight(const Tensor& gy, const Tensor& x, const Conv2dSpec& spec, Tensor& gw);

}  // namespace gradus::cpu
