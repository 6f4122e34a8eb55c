// Optimizer::step(backward): the gradient at a point uphill, mixed into the first one.
#include "optim/gradient_penalty.h"

#include "core/error.h"
#include "core/ops.h"
#include "optim/clip.h"
#include "optim/optimizer_impl.h"

namespace gradus::optim {
namespace {

/// While one lives, parameters lie uphill and running statistics of Bnp stand still; then everything is as it was,
/// gradients and curvature included.
class UphillPoint {
 public:
  /// Each parameter moves by r times its direction, where it has one.
  UphillPoint(std::vector<OptimizerItem>& items, const std::vector<Tensor>& uphill, double r) : items_(items) {
    observe(false);
    for (size_t i = 0; i < items_.size(); ++i) {
      Parameter& parameter = items_[i].parameter;
      before_.push_back(
          {parameter.grad(), parameter.curvature(), uphill[i].defined() ? clone(parameter.value()) : Tensor()});
      if (uphill[i].defined()) add_(parameter.mutable_value(), uphill[i], r);
    }
  }
  ~UphillPoint() {
    observe(true);
    for (size_t i = items_.size(); i-- > 0;) {  // two may share memory, of which the first knows how it was
      Parameter& parameter = items_[i].parameter;
      if (before_[i].value.defined()) copy_(parameter.mutable_value(), before_[i].value);
      parameter.clear_grad();
      if (before_[i].gradient.defined()) parameter.set_grad(before_[i].gradient);
      if (before_[i].curvature.defined()) parameter.set_curvature(before_[i].curvature);
    }
  }
  UphillPoint(const UphillPoint&) = delete;
  UphillPoint& operator=(const UphillPoint&) = delete;

 private:
  struct Before {
    Tensor gradient, curvature, value;
  };

  void observe(bool observes) {
    for (OptimizerItem& item : items_)
      if (item.bnp) item.bnp->observes(observes);
  }

  std::vector<OptimizerItem>& items_;
  std::vector<Before> before_;
};

}  // namespace

Tensor Optimizer::Impl::intrinsic_gradient(const OptimizerItem& item, const Tensor& gradient) const {
  const Settings settings = groups[item.group].now(steps);
  const Tensor scale = *item.rule->diagonal(settings);  // build() has looked whether there is one
  const auto conditioned = [&](const Tensor& x) {
    return item.learner ? item.learner->apply(x, {steps + 1, settings.at("lr")}) : x;
  };
  const auto stretched = [&](const Tensor& x) { return scale.defined() ? x * scale : x; };
  const bool on_direction = item.learner && item.learner->acts_on_direction();
  return on_direction ? conditioned(stretched(gradient)) : stretched(conditioned(gradient));
}

void Optimizer::Impl::penalize(std::vector<Tensor>& gradients, const std::function<void()>& backward) {
  const GradientPenalty& penalty = *gradient_penalty;
  std::vector<Tensor> uphill = gradients;
  for (size_t i = 0; i < uphill.size(); ++i)
    if (uphill[i].defined() && penalty.intrinsic) uphill[i] = intrinsic_gradient(items[i], uphill[i]);
  const double length = global_norm(uphill);
  if (!(length > 0)) return;
  const double r = penalty.radius / length, mix = penalty.rate > 0 ? penalty.rate / r : penalty.mix;
  std::vector<Tensor> there;
  {
    const UphillPoint point(items, uphill, r);
    for (OptimizerItem& item : items) item.parameter.clear_grad();
    backward();
    there = this->gradients();
  }
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined() || !there[i].defined()) continue;
    if (mix == 1) {
      gradients[i] = there[i];
    } else {
      Tensor mixed = clone(gradients[i]);
      axpby_(mix, there[i], 1 - mix, mixed);
      gradients[i] = mixed;
    }
  }
}

}  // namespace gradus::optim
