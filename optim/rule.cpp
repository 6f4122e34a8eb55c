// What every rule uses.
#include "optim/rule.h"

#include "core/ops.h"

namespace gradus::optim {

Tensor zeros_like(const Tensor& parameter) {
  Tensor zeros = Tensor::empty_like(parameter);
  fill_(zeros, 0);
  return zeros;
}

void descend(Tensor& parameter, const Tensor& direction, double lr, double decay) {
  axpby_(-lr, direction, 1 - lr * decay, parameter);
}

}  // namespace gradus::optim
