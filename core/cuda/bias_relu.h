// The gradient through a bias per channel and ReLU, in two parts.
#pragma once

#include <functional>

#include "core/tensor.h"

namespace gradus::cuda {

/// kernels::bias_relu_backward(), but gbias is there only after a call of what is returned: of interest to nobody soon.
std::function<void()> begin_bias_relu_backward(const Tensor& gy, const Tensor& y, Tensor& gz, Tensor& gbias);

}  // namespace gradus::cuda
