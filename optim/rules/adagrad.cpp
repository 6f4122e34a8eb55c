// AdaGrad's rule for one parameter.
#include "optim/rules/adagrad.h"

#include "core/ops.h"

namespace gradus::optim {
namespace {

class AdaGradRule final : public Rule {
 public:
  AdaGradRule(const Tensor& parameter, double initial) : sum_(zeros_like(parameter)) {
    if (initial != 0) fill_(sum_, initial);
  }

  Tensor direction(const Tensor& gradient, const Settings& settings) override {
    add_(sum_, square(gradient));
    Tensor scaled = gradient / (sqrt(sum_) + settings.at("eps"));
    const double slowed = 1 + static_cast<double>(steps_++) * settings.at("lr_decay");
    if (slowed != 1) scale_(scaled, 1 / slowed);
    return scaled;
  }
  std::optional<Tensor> scaling(const Settings& settings) const override {
    return steps_ > 0 ? reciprocal(sqrt(sum_) + settings.at("eps")) : Tensor();
  }
  void slots(Slots& slots) override {
    slots.add("sum", sum_);
    slots.add("steps", steps_);
  }

 private:
  Tensor sum_;
  int64_t steps_ = 0;
};

}  // namespace

std::unique_ptr<Rule> AdaGrad::make(const Tensor& parameter) const {
  return std::make_unique<AdaGradRule>(parameter, initial_accumulator);
}

}  // namespace gradus::optim
