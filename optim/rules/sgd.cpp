// Gradient descent and its two momenta.
#include "optim/rules/sgd.h"

#include "core/ops.h"

namespace gradus::optim {
namespace {

class PlainRule final : public Rule {
 public:
  Tensor direction(const Tensor& gradient, const Settings&) override { return gradient; }
  void slots(Slots&) override {}
  std::optional<Tensor> diagonal(const Settings&) const override { return Tensor(); }
  bool fuses() const override { return true; }
};

class MomentumRule final : public Rule {
 public:
  MomentumRule(const Tensor& parameter, bool nesterov) : velocity_(zeros_like(parameter)), nesterov_(nesterov) {}

  Tensor direction(const Tensor& gradient, const Settings& settings) override {
    const double momentum = settings.at("momentum");
    axpby_(1, gradient, momentum, velocity_);
    if (!nesterov_) return velocity_;
    Tensor ahead = clone(gradient);
    axpby_(momentum, velocity_, 1, ahead);
    return ahead;
  }
  void slots(Slots& slots) override { slots.add("velocity", velocity_); }
  std::optional<Tensor> diagonal(const Settings&) const override { return Tensor(); }
  /// d = u + momentum v with the new v.
  double gain(const Settings& settings) const override { return nesterov_ ? 1 + settings.at("momentum") : 1; }
  bool fuses() const override { return true; }
  RuleUpdate fused(const Settings& settings) override {
    return {.kind = nesterov_ ? RuleUpdate::Kind::nesterov : RuleUpdate::Kind::momentum,
            .momentum = settings.at("momentum"),
            .first = &velocity_};
  }

 private:
  Tensor velocity_;
  bool nesterov_;
};

}  // namespace

std::unique_ptr<Rule> Sgd::make(const Tensor& parameter) const {
  if (!remembers()) return std::make_unique<PlainRule>();
  return std::make_unique<MomentumRule>(parameter, nesterov);
}

}  // namespace gradus::optim
