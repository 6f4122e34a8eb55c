// Gradient clipping: limits what the following stages see; the gradients themselves stay as they are.
#pragma once

#include <span>

#include "core/tensor.h"

namespace gradus::optim {

/// 0 is no limit. The norm is taken first, over all gradients of the optimizer together.
struct Clip {
  double norm = 0;   ///< gradients are multiplied by min(1, norm / (|all gradients|_2 + 1e-6)), as PyTorch does
  double value = 0;  ///< then every element is limited to [-value, value]
};

/// |all gradients|_2; undefined tensors count as zero.
double global_norm(std::span<const Tensor> gradients);
/// What Clip::norm multiplies with: exactly 1 where the norm is within the limit, up to the 1e-6.
double clip_factor(double norm, double limit);

}  // namespace gradus::optim
