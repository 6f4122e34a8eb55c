// RMSProp's rules for one parameter, with or without momentum.
#include "optim/rules/rmsprop.h"

#include "core/ops.h"

namespace gradus::optim {
namespace {

class RmsPropRule final : public FusedRule {
 public:
  RmsPropRule(const Tensor& parameter, const RmsProp& options) : square_(zeros_like(parameter)) {
    if (options.momentum != 0) velocity_ = zeros_like(parameter);
  }

  RuleUpdate fused(const Settings& settings) override {
    const double alpha = settings.at("alpha");
    return {.kind = RuleUpdate::Kind::squares,
            .momentum = settings.get("momentum", 0),
            .squares = {.keep = alpha, .add = 1 - alpha, .eps = settings.at("eps")},
            .first = velocity_.defined() ? &velocity_ : nullptr,
            .second = &square_};
  }
  std::optional<Tensor> diagonal(const Settings& settings) const override {
    return max(square_).item() > 0 ? reciprocal(sqrt(square_) + settings.at("eps")) : Tensor();
  }
  void slots(Slots& slots) override {
    slots.add("square", square_);
    if (velocity_.defined()) slots.add("velocity", velocity_);
  }

 private:
  Tensor square_, velocity_;
};

class CenteredRule final : public Rule {
 public:
  CenteredRule(const Tensor& parameter, const RmsProp& options)
      : square_(zeros_like(parameter)), mean_(zeros_like(parameter)) {
    if (options.momentum != 0) velocity_ = zeros_like(parameter);
  }

  Tensor direction(const Tensor& gradient, const Settings& settings) override {
    const double alpha = settings.at("alpha");
    axpby_(1 - alpha, square(gradient), alpha, square_);
    axpby_(1 - alpha, gradient, alpha, mean_);
    const Tensor scaled = gradient / denominator(settings);
    if (!velocity_.defined()) return scaled;
    axpby_(1, scaled, settings.at("momentum"), velocity_);
    return velocity_;
  }
  std::optional<Tensor> diagonal(const Settings& settings) const override {
    return max(square_).item() > 0 ? reciprocal(denominator(settings)) : Tensor();
  }
  void slots(Slots& slots) override {
    slots.add("square", square_);
    slots.add("mean", mean_);
    if (velocity_.defined()) slots.add("velocity", velocity_);
  }

 private:
  /// Rounding takes the variance of a constant gradient below 0.
  Tensor denominator(const Settings& settings) const {
    return sqrt(maximum(square_ - square(mean_), Tensor::zeros({}, square_.dtype()))) + settings.at("eps");
  }

  Tensor square_, mean_, velocity_;
};

}  // namespace

std::unique_ptr<Rule> RmsProp::make(const Tensor& parameter) const {
  if (centered) return std::make_unique<CenteredRule>(parameter, *this);
  return std::make_unique<RmsPropRule>(parameter, *this);
}

}  // namespace gradus::optim
