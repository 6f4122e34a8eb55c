// Adam's rule for one parameter; AdamW differs only in the decay, which is the optimizer's.
#include "optim/rules/adam.h"

#include <cmath>

#include "core/ops.h"

namespace gradus::optim {
namespace {

class AdamRule final : public Rule {
 public:
  explicit AdamRule(const Tensor& parameter)
      : first_moment_(zeros_like(parameter)), second_moment_(zeros_like(parameter)) {}

  Tensor direction(const Tensor& gradient, const Settings& settings) override {
    return adam_(gradient, next_step(settings), first_moment_, second_moment_);
  }
  bool fuses() const override { return true; }
  RuleUpdate fused(const Settings& settings) override {
    return {.kind = RuleUpdate::Kind::adam,
            .adam = next_step(settings),
            .first = &first_moment_,
            .second = &second_moment_};
  }
  void slots(Slots& slots) override {
    slots.add("first_moment", first_moment_);
    slots.add("second_moment", second_moment_);
    slots.add("steps", steps_);
  }

 private:
  AdamSpec next_step(const Settings& settings) {
    const double beta1 = settings.at("beta1"), beta2 = settings.at("beta2");
    ++steps_;
    return {.beta1 = beta1,
            .beta2 = beta2,
            .eps = settings.at("eps"),
            .correction1 = 1 - std::pow(beta1, steps_),
            .correction2 = 1 - std::pow(beta2, steps_)};
  }

  Tensor first_moment_, second_moment_;
  int64_t steps_ = 0;
};

}  // namespace

std::unique_ptr<Rule> Adam::make(const Tensor& parameter) const { return std::make_unique<AdamRule>(parameter); }
std::unique_ptr<Rule> AdamW::make(const Tensor& parameter) const { return std::make_unique<AdamRule>(parameter); }

}  // namespace gradus::optim
