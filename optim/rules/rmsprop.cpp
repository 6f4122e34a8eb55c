// RMSProp's rule for one parameter, optionally centered and with momentum.
#include "optim/rules/rmsprop.h"

#include "core/ops.h"

namespace gradus::optim {
namespace {

class RmsPropRule final : public Rule {
 public:
  RmsPropRule(const Tensor& parameter, const RmsProp& options)
      : square_(zeros_like(parameter)), has_mean_(options.centered), has_momentum_(options.momentum != 0) {
    if (has_mean_) mean_ = zeros_like(parameter);
    if (has_momentum_) velocity_ = zeros_like(parameter);
  }

  Tensor direction(const Tensor& gradient, const Settings& settings) override {
    const double alpha = settings.at("alpha");
    axpby_(1 - alpha, square(gradient), alpha, square_);
    if (has_mean_) axpby_(1 - alpha, gradient, alpha, mean_);
    const Tensor scaled = gradient / denominator(settings);
    if (!has_momentum_) return scaled;
    axpby_(1, scaled, settings.at("momentum"), velocity_);
    return velocity_;
  }
  std::optional<Tensor> diagonal(const Settings& settings) const override {
    return max(square_).item() > 0 ? reciprocal(denominator(settings)) : Tensor();
  }
  void slots(Slots& slots) override {
    slots.add("square", square_);
    if (has_mean_) slots.add("mean", mean_);
    if (has_momentum_) slots.add("velocity", velocity_);
  }

 private:
  Tensor denominator(const Settings& settings) const {
    if (!has_mean_) return sqrt(square_) + settings.at("eps");
    // Rounding takes the variance of a constant gradient below 0.
    return sqrt(maximum(square_ - square(mean_), Tensor::zeros({}, square_.dtype()))) + settings.at("eps");
  }

  Tensor square_, mean_, velocity_;
  bool has_mean_, has_momentum_;
};

}  // namespace

std::unique_ptr<Rule> RmsProp::make(const Tensor& parameter) const {
  return std::make_unique<RmsPropRule>(parameter, *this);
}

}  // namespace gradus::optim
