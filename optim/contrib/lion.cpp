#include "optim/contrib/lion.h"

#include "core/ops.h"

namespace gradus::optim {
namespace {

class LionRule final : public Rule {
 public:
  explicit LionRule(const Tensor& parameter) : momentum_(zeros_like(parameter)) {}

  Tensor direction(const Tensor& gradient, const Settings& settings) override {
    const double beta1 = settings.at("beta1"), beta2 = settings.at("beta2");
    Tensor mixed = clone(momentum_);
    axpby_(1 - beta1, gradient, beta1, mixed);
    axpby_(1 - beta2, gradient, beta2, momentum_);
    return sign(mixed);
  }
  void slots(Slots& slots) override { slots.add("momentum", momentum_); }

 private:
  Tensor momentum_;
};

}  // namespace

std::unique_ptr<Rule> Lion::make(const Tensor& parameter) const { return std::make_unique<LionRule>(parameter); }

}  // namespace gradus::optim
