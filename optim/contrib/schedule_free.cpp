#include "optim/contrib/schedule_free.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/ops.h"
#include "optim/optimizer.h"

namespace gradus::optim {
namespace {

class ScheduleFreeRule final : public Rule {
 public:
  explicit ScheduleFreeRule(const Tensor& parameter) : y_(parameter), second_moment_(zeros_like(parameter)) {}

  // The optimizer takes y - lr d, so d = (y - y') / lr for y' = y + c (z - y) - lr (1 - beta1 (1 - c)) n, where n is
  // the normalized gradient and c the weight of the newest z in the average.
  Tensor direction(const Tensor& gradient, const Settings& settings) override {
    const double beta1 = settings.at("beta1"), beta2 = settings.at("beta2"), lr = settings.at("lr");
    largest_lr_ = std::max(largest_lr_, lr);
    const double weight = largest_lr_ * largest_lr_;
    if (!z_.defined()) z_ = clone(y_);
    weights_ += weight;
    const double c = weights_ > 0 ? weight / weights_ : 0;
    ++steps_;
    axpby_(1 - beta2, square(gradient), beta2, second_moment_);
    const Tensor n = gradient / (sqrt(second_moment_ * (1 / (1 - std::pow(beta2, steps_)))) + settings.at("eps"));
    Tensor d = n * (1 - beta1 * (1 - c));
    if (lr > 0) add_(d, y_ - z_, c / lr);
    add_(z_, n, -lr);
    return d;
  }
  bool owns_step() const override { return true; }
  void slots(Slots& slots) override {
    slots.add("z", z_, y_);
    slots.add("second_moment", second_moment_);
    slots.add("weights", weights_);
    slots.add("largest_lr", largest_lr_);
    slots.add("steps", steps_);
  }

 private:
  const Tensor y_;  ///< the parameter's own memory
  Tensor z_;        ///< undefined until the first step, which begins at the weights as they are then
  Tensor second_moment_;
  double weights_ = 0, largest_lr_ = 0;
  int64_t steps_ = 0;
};

}  // namespace

std::unique_ptr<Rule> ScheduleFree::make(const Tensor& parameter) const {
  if (!(beta1 > 0))
    fail(ErrorKind::value, "schedule-free", "beta1 must be above 0, for x is (y - (1 - beta1) z) / beta1, got ", beta1);
  return std::make_unique<ScheduleFreeRule>(parameter);
}

ScheduleFreeScope::ScheduleFreeScope(const Optimizer& optimizer, const std::vector<Parameter>& parameters) {
  const StateDict state = optimizer.state();
  for (size_t group = 0; group < optimizer.groups(); ++group) {
    const Settings settings = optimizer.settings(group);
    for (const std::string& name : optimizer.members(group)) {
      const auto z = state.find(name + "/" + ScheduleFree::name + ".z");
      const auto found = std::find_if(parameters.begin(), parameters.end(),
                                      [&name = name](const Parameter& p) { return p.name() == name; });
      if (z == state.end() || found == parameters.end()) continue;
      const double beta1 = settings.at("beta1");
      training_.emplace_back(*found, clone(found->value()));
      if (!(z->second.shape() == found->shape())) continue;  // before the first step x is y
      axpby_(-(1 - beta1) / beta1, z->second, 1 / beta1, training_.back().first.mutable_value());
    }
  }
  if (training_.empty())
    fail(ErrorKind::value, "schedule-free", "none of these parameters is trained by optim::ScheduleFree");
}

ScheduleFreeScope::~ScheduleFreeScope() {
  for (auto& [parameter, y] : training_) copy_(parameter.mutable_value(), y);
}

}  // namespace gradus::optim
