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

Tensor FusedRule::direction(const Tensor& gradient, const Settings& settings) {
  RuleUpdate rule = fused(settings);
  rule.lr = rule.decay = -1;  // 0 <- (1 - 1) 0 + direction
  Tensor direction = zeros_like(*rule.second);
  const auto in_order = [&](const Tensor& x) {
    if (x.strides() == direction.strides()) return x;
    Tensor copy = Tensor::empty_like(direction);
    copy_(copy, x);
    return copy;
  };
  const Tensor g = in_order(gradient), h = rule.curvature ? in_order(*rule.curvature) : Tensor();
  if (rule.curvature) rule.curvature = &h;
  const ParameterUpdate update{.value = &direction, .gradient = &g, .rule = rule};
  update_({&update, 1});
  return direction;
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
