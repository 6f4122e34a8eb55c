// AdaGrad's rule for one parameter.
#include "optim/rules/adagrad.h"

#include "core/error.h"
#include "core/ops.h"
#include "core/ranges.h"

namespace gradus::optim {
namespace {

class AdaGradRule final : public FusedRule {
 public:
  AdaGradRule(const Tensor& parameter, double initial) : sum_(zeros_like(parameter)) {
    if (initial != 0) fill_(sum_, initial);
  }

  RuleUpdate fused(const Settings& settings) override {
    ++steps_;
    return {.kind = RuleUpdate::Kind::squares,
            .squares = {.eps = settings.at("eps"), .factor = 1 / slowdown(settings)},
            .second = &sum_};
  }
  std::optional<Tensor> diagonal(const Settings& settings) const override {
    return steps_ > 0 ? reciprocal((sqrt(sum_) + settings.at("eps")) * slowdown(settings)) : Tensor();
  }
  void slots(Slots& slots) override {
    slots.add("sum", sum_);
    slots.add("steps", steps_);
  }

 private:
  double slowdown(const Settings& settings) const {
    return 1 + static_cast<double>(steps_ - 1) * settings.at("lr_decay");
  }

  Tensor sum_;
  int64_t steps_ = 0;
};

}  // namespace

std::unique_ptr<Rule> AdaGrad::make(const Tensor& parameter) const {
  if (!is_not_negative(initial_accumulator))
    fail(ErrorKind::value, "adagrad", "expects a finite initial_accumulator of at least 0, got ", initial_accumulator);
  return std::make_unique<AdaGradRule>(parameter, initial_accumulator);
}

}  // namespace gradus::optim
