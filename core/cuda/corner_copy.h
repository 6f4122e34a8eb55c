// Many small copies by one kernel.
#pragma once

#include <span>

#include "core/tensor.h"

namespace gradus::cuda {

/// `from`, of one or four dimensions, in the corner of `to`, which is channels-last or flat and at least as large;
/// around it `to` becomes zero. Numbers are converted.
struct CornerCopy {
  Tensor from, to;
};
void copy_to_corners(std::span<const CornerCopy> copies);

}  // namespace gradus::cuda
