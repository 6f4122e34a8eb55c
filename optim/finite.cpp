#include "optim/finite.h"

#include "core/ops.h"

namespace gradus::optim {

bool all_are_finite(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> extremes;
  for (const Tensor& x : tensors) {
    if (x.numel() == 0) continue;
    for (const Tensor& extreme : {max(x), min(x)}) extremes.push_back(cast(reshape(extreme, {1}), DType::float64));
  }
  return extremes.empty() || all_finite(concat(extremes, 0));
}

}  // namespace gradus::optim
