// One step of the optimizer, and what it shows of itself.
#include "optim/optimizer.h"

#include <cmath>

#include "core/error.h"
#include "core/ops.h"
#include "optim/optimizer_impl.h"

namespace gradus::optim {

Optimizer::Optimizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Optimizer::Optimizer(Optimizer&&) noexcept = default;
Optimizer& Optimizer::operator=(Optimizer&&) noexcept = default;
Optimizer::~Optimizer() = default;

Settings OptimizerGroup::now(int64_t steps) const {
  Settings result = base;
  for (auto& [name, value] : result)
    if (const auto found = schedules.find(name); found != schedules.end()) value *= found->second(steps);
  return result;
}

namespace {

constexpr std::string_view hyper_prefix = "hyper.";

/// The settings of the inner rule, without their prefix.
Settings hyper_of(const Settings& settings) {
  Settings result;
  for (const auto& [name, value] : settings)
    if (name.starts_with(hyper_prefix)) result.set(std::string_view(name).substr(hyper_prefix.size()), value);
  return result;
}

/// The gradient as the preconditioner gets it: clipped, with coupled decay. The gradient itself where neither applies.
Tensor transformed(const Tensor& gradient, double factor, double limit, double decay, const Tensor& value) {
  Tensor g = gradient;
  if (factor != 1) g = g * factor;
  if (limit > 0) g = clamp(g, -limit, limit);
  if (decay != 0) {
    Tensor sum = clone(g);
    add_(sum, value, decay);
    g = sum;
  }
  return g;
}

void check_gradient(const Parameter& parameter, const Tensor& gradient) {
  const Tensor& value = parameter.value();
  if (!(gradient.shape() == value.shape()))
    fail(ErrorKind::shape, "optimizer", "parameter '", parameter.name(), "' is ", value.shape(),
         ", but its gradient is ", gradient.shape());
  if (gradient.dtype() != value.dtype())
    fail(ErrorKind::dtype, "optimizer", "parameter '", parameter.name(), "' is ", value.dtype(),
         ", but its gradient is ", gradient.dtype());
}

}  // namespace

void Optimizer::Impl::step(OptimizerItem& item, const Tensor& gradient, const Settings& settings, const Settings& hyper,
                           double factor) {
  Tensor& value = item.parameter.mutable_value();
  const double decay = item.decays ? settings.at("weight_decay") : 0;
  const auto decay_in = [&](DecayMode mode) { return decay_mode_of(item) == mode ? decay : 0; };
  const StepInfo at{steps + 1, settings.at("lr")};

  const Tensor g = transformed(gradient, factor, clip.value, decay_in(DecayMode::coupled), value);
  const bool first = item.learner && !item.learner->after_rule();
  const bool last = item.learner && item.learner->after_rule();
  Tensor u = first ? item.learner->step(g, g, hyper, at) : g;
  u = transformed(u, 1, 0, decay_in(DecayMode::after_preconditioner), value);
  Tensor direction = item.rule->direction(u, settings);
  if (last) direction = item.learner->step(g, direction, hyper, at);
  descend(value, direction, at.lr, decay_in(DecayMode::decoupled));
}

void Optimizer::step() {
  std::vector<Tensor> gradients;
  for (const OptimizerItem& item : impl_->items) {
    gradients.push_back(item.parameter.grad());
    if (!gradients.back().defined()) continue;
    check_gradient(item.parameter, gradients.back());
    if (item.learner) item.learner->check_previous();
  }
  const Clip& clip = impl_->clip;
  const double factor = clip.norm > 0 ? clip_factor(global_norm(gradients), clip.norm) : 1;
  std::vector<Settings> settings, hyper;
  for (const OptimizerGroup& group : impl_->groups) {
    settings.push_back(group.now(impl_->steps));
    hyper.push_back(hyper_of(settings.back()));
  }
  for (size_t i = 0; i < gradients.size(); ++i) {
    OptimizerItem& item = impl_->items[i];
    if (gradients[i].defined())
      impl_->step(item, gradients[i], settings[item.group], hyper[item.group], factor);
    else if (item.learner)
      item.learner->skip();
  }
  ++impl_->steps;
}

void Optimizer::zero_grad() {
  for (OptimizerItem& item : impl_->items) item.parameter.clear_grad();
}

int64_t Optimizer::steps() const { return impl_->steps; }
size_t Optimizer::groups() const { return impl_->groups.size(); }

Settings Optimizer::settings(size_t group) const {
  if (group >= groups()) fail(ErrorKind::value, "settings", "group ", group, " of ", groups(), " does not exist");
  return impl_->groups[group].now(impl_->steps);
}

void Optimizer::set(std::string_view name, double value) {
  bool found = false;
  for (OptimizerGroup& group : impl_->groups)
    if (group.base.contains(name)) {
      group.base.set(name, value);
      found = true;
    }
  if (!found) impl_->groups.front().base.at(name);  // throws, naming what there is
}

std::vector<std::string> Optimizer::members(size_t group) const {
  std::vector<std::string> names;
  for (const OptimizerItem& item : impl_->items)
    if (item.group == group) names.push_back(item.parameter.name());
  return names;
}

std::vector<PreconditionerReport> Optimizer::diagnostics(Diagnose what) const {
  std::vector<PreconditionerReport> reports;
  for (OptimizerItem& item : impl_->items) {
    if (!item.learner) continue;
    const OptimizerGroup& group = impl_->groups[item.group];
    PreconditionerReport report =
        item.learner->report(item.parameter.grad(), {impl_->steps + 1, group.now(impl_->steps).at("lr")}, what);
    report.parameter = item.parameter.name();
    report.preconditioner = item.preconditioner_name;
    Slots slots;
    item.learner->slots(slots);
    report.state_bytes = bytes_of(slots);
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace gradus::optim
