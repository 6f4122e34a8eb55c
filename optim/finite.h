// Whether numbers are finite, asked of many tensors at once. Not public.
#pragma once

#include <vector>

#include "core/tensor.h"

namespace gradus::optim {

/// Whether every element of these, which are floating, is finite. It waits for the device once, not once for each.
bool all_are_finite(const std::vector<Tensor>& tensors);

}  // namespace gradus::optim
