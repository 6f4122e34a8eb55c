// Adam's rule for one parameter; AdamW differs only in the decay, which is the optimizer's.
#include "optim/rules/adam.h"

#include "optim/rules/adam_spec.h"

namespace gradus::optim {
namespace {

class AdamRule final : public FusedRule {
 public:
  explicit AdamRule(const Tensor& parameter)
      : first_moment_(zeros_like(parameter)), second_moment_(zeros_like(parameter)) {}

  std::optional<Tensor> diagonal(const Settings& settings) const override {
    if (steps_ == 0) return Tensor();
    const double correction = 1 - std::pow(settings.at("beta2"), steps_);
    return reciprocal(sqrt(second_moment_ * (1 / correction)) + settings.at("eps"));
  }
  RuleUpdate fused(const Settings& settings) override {
    return {.kind = RuleUpdate::Kind::adam,
            .adam = adam_spec(settings, ++steps_),
            .first = &first_moment_,
            .second = &second_moment_};
  }
  void slots(Slots& slots) override {
    slots.add("first_moment", first_moment_);
    slots.add("second_moment", second_moment_);
    slots.add("steps", steps_);
  }

 private:
  Tensor first_moment_, second_moment_;
  int64_t steps_ = 0;
};

}  // namespace

std::unique_ptr<Rule> Adam::make(const Tensor& parameter) const { return std::make_unique<AdamRule>(parameter); }
std::unique_ptr<Rule> AdamW::make(const Tensor& parameter) const { return std::make_unique<AdamRule>(parameter); }

}  // namespace gradus::optim
