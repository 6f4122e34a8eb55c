// What every rule uses.
#include "optim/rule.h"

#include "core/error.h"
#include "core/ops.h"

namespace gradus::optim {

std::unique_ptr<Rule> AnyRule::make(const Tensor& parameter) const {
  auto rule = make_(parameter);
  if (!rule)
    fail(ErrorKind::value, "optim", "make() of rule '", name_, "' gave none for a parameter ", parameter.shape());
  return rule;
}

Tensor zeros_like(const Tensor& parameter) {
  Tensor zeros = Tensor::empty_like(parameter);
  fill_(zeros, 0);
  return zeros;
}

void descend(Tensor& parameter, const Tensor& direction, double lr, double decay) {
  axpby_(-lr, direction, 1 - lr * decay, parameter);
}

}  // namespace gradus::optim
