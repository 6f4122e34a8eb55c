// One step of the optimizer, and what it shows of itself.
#include "optim/optimizer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "core/ops.h"
#include "optim/finite.h"
#include "optim/optimizer_impl.h"

namespace gradus::optim {
Optimizer::Optimizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Optimizer::Optimizer(Optimizer&&) noexcept = default;
Optimizer& Optimizer::operator=(Optimizer&&) noexcept = default;
Optimizer::~Optimizer() = default;

Settings OptimizerGroup::now(int64_t steps) const {
  OptimizerGroup group = *this;
  group.refresh(steps);
  return group.current;
}

void OptimizerGroup::refresh(int64_t steps) {
  constexpr std::string_view prefix = "hyper.";
  if (current.size() != base.size()) {
    current = base;
    hyper = {};
    for (const auto& [name, value] : base)
      if (name.starts_with(prefix)) hyper.set(std::string_view(name).substr(prefix.size()), value);
  }
  auto inner = hyper.begin();
  for (auto from = base.begin(), to = current.begin(); to != current.end(); ++from, ++to) {
    to->second = from->second;
    if (!schedules.empty())
      if (const auto found = schedules.find(to->first); found != schedules.end()) {
        to->second *= found->second(steps);
        check_setting(to->first, to->second);
      }
    if (to->first.starts_with(prefix)) (inner++)->second = to->second;
  }
}

namespace {

void check_group(const char* op, size_t group, size_t groups) {
  if (group >= groups) fail(ErrorKind::value, op, "group ", group, " of ", groups, " does not exist");
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

/// |p| reduced by the threshold, and not below 0; the sign stays.
Tensor soft_threshold(const Tensor& p, const Tensor& threshold) {
  return sign(p) * maximum(abs(p) - threshold, Tensor::zeros({}, p.dtype()));
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

/// What a stage made of the gradient.
void check_shape(const Tensor& made, const OptimizerItem& item, const char* stage, const std::string& name) {
  const Shape& shape = item.parameter.value().shape();
  if (!made.defined() || !(made.shape() == shape))
    fail(ErrorKind::shape, "optimizer", stage, " '", name, "' made ",
         made.defined() ? text("a tensor ", made.shape()) : "an undefined tensor", " of the gradient of '",
         item.parameter.name(), "', which is ", shape);
}

void check_curvature(const Parameter& parameter) {
  if (!parameter.curvature().defined())
    fail(ErrorKind::value, "optimizer", "parameter '", parameter.name(),
         "' has a gradient but no curvature: call optimizer.backward(loss) in place of loss.backward()");
}

/// What is averaged of a parameter's curvature.
Tensor averaged(const OptimizerItem& item, const std::optional<StepScaling>& scaling) {
  const Tensor& h = item.parameter.curvature();
  return item.curved || !scaling->magnitudes ? square(h) : h;
}

/// Curvature that is not finite would stay in an average: the scale of every later step would be wrong in silence, or a
/// weight would never move again.
void check_finite(const std::vector<const OptimizerItem*>& items, const std::optional<StepScaling>& scaling) {
  std::vector<Tensor> all;
  for (const OptimizerItem* item : items) all.push_back(averaged(*item, scaling));
  if (all_are_finite(all)) return;
  for (size_t i = 0; i < items.size(); ++i)
    if (!all_finite(all[i]))
      fail(ErrorKind::value, "optimizer", "expects finite curvature, but parameter '", items[i]->parameter.name(),
           "' has some that is inf or nan, or whose square is: leave the batch out, or use a smaller learning rate");
}

}  // namespace

double Optimizer::Impl::decay(const OptimizerItem& item, DecayMode mode) const {
  const OptimizerGroup& group = groups[item.group];
  return item.decays && group.decay_mode == mode ? group.current.at("weight_decay") : 0;
}

double Optimizer::Impl::l1_rate(const OptimizerItem& item) const {
  return item.l1 ? groups[item.group].current.at("l1") : 0;
}

Tensor Optimizer::Impl::direction(OptimizerItem& item, const Tensor& gradient, const Tensor& of_loss, double factor) {
  const Tensor& value = item.parameter.value();
  const OptimizerGroup& group = groups[item.group];
  const StepInfo now = at(item);

  const auto regularized = [&](const Tensor& x) {
    Tensor g = transformed(x, factor, clip.value, decay(item, DecayMode::coupled), value);
    if (const double l1 = l1_rate(item); l1 != 0 && *item.l1 == L1Mode::coupled) g = g + sign(value) * l1;
    return g;
  };
  const Tensor x = regularized(gradient);
  const Tensor g = item.learner && of_loss.storage() != gradient.storage() ? regularized(of_loss) : x;
  const bool first = item.learner && !item.learner->acts_on_direction();
  const bool last = item.learner && item.learner->acts_on_direction();
  Tensor u = first ? item.learner->step(g, x, group.hyper, now) : x;
  u = transformed(u, 1, 0, decay(item, DecayMode::after_preconditioner), value);
  check_shape(u, item, "preconditioner", item.preconditioner_name);
  const uint64_t version = u.version();
  Tensor direction = item.rule->direction(u, group.current);
  check_shape(direction, item, "rule", item.rule_name);
  if (u.version() != version)
    fail(ErrorKind::value, "optimizer", "rule '", item.rule_name, "' wrote to the gradient of '", item.parameter.name(),
         "': it has to return memory of its own");
  if (!last) return direction;
  direction = item.learner->step(g, direction, group.hyper, now);
  check_shape(direction, item, "preconditioner", item.preconditioner_name);
  return direction;
}

void Optimizer::Impl::descend(OptimizerItem& item, const Tensor& direction, double scale) {
  Tensor& value = item.parameter.mutable_value();
  const double lr = at(item).lr, l1 = l1_rate(item);
  const bool beside = l1 != 0 && *item.l1 != L1Mode::coupled;
  const Tensor sign_before = beside ? sign(value) : Tensor();
  axpby_(-lr * scale, direction, 1 - lr * decay(item, DecayMode::decoupled), value);
  if (!beside) return;
  Tensor width = *item.rule->diagonal(groups[item.group].current);  // B
  if (!width.defined()) width = Tensor::ones({}, value.dtype());
  if (*item.l1 != L1Mode::proximal) width = sqrt(width);  // P = B^(1/2)
  if (*item.l1 == L1Mode::decoupled)
    add_(value, sign_before * width, -lr * l1);
  else
    copy_(value, soft_threshold(value, width * (lr * l1)));
}

void Optimizer::Impl::step_scaled(const std::vector<Tensor>& gradients, double factor) {
  std::vector<Tensor> directions(items.size());
  double along = 0;  // u^T diag(H) u
  for (size_t i = 0; i < items.size(); ++i) {
    OptimizerItem& item = items[i];
    if (!gradients[i].defined()) {
      if (item.learner) item.learner->skip();
      continue;
    }
    directions[i] = direction(item, gradients[i], gradients[i], factor);  // bnp does not go with it
    const Tensor& h = item.parameter.curvature();
    Tensor& average = item.curvature_average;
    axpby_(1 - scaling->beta2, scaling->magnitudes ? abs(h) : square(h), scaling->beta2, average);
    const double lr = at(item).lr;
    along += lr * lr * dot(scaling->magnitudes ? average : sqrt(average), square(directions[i]));
  }
  ++scaled_steps;
  if (scaling->corrected) {
    const double correction = 1 - std::pow(scaling->beta2, static_cast<double>(scaled_steps));
    along /= scaling->magnitudes ? correction : std::sqrt(correction);
  }
  step_scale = std::min(scaling->max_scale, std::sqrt(2 * scaling->delta / along));
  for (size_t i = 0; i < items.size(); ++i) {
    if (!directions[i].defined()) continue;
    descend(items[i], directions[i], step_scale);
  }
}

ParameterUpdate Optimizer::Impl::describe(OptimizerItem& item, const Tensor& gradient, double factor,
                                          std::list<Tensor>& own, std::vector<MatrixUpdate>& matrices) {
  const OptimizerGroup& group = groups[item.group];
  const StepInfo now = at(item);
  const bool on_direction = item.learner && item.learner->acts_on_direction();
  ParameterUpdate update{.value = &item.parameter.mutable_value(),
                         .gradient = &gradient,
                         .late_decay = decay(item, DecayMode::after_preconditioner),
                         .rule = on_direction ? RuleUpdate() : item.rule->fused(group.current)};
  update.rule.lr = now.lr;
  update.rule.decay = decay(item, DecayMode::decoupled);
  const double coupled = decay(item, DecayMode::coupled);
  const Tensor& value = *update.value;
  const auto keep = [&](const Tensor& x) {
    own.push_back(x.strides() == value.strides() ? x : Tensor::empty_like(value));
    if (!(own.back().storage() == x.storage())) copy_(own.back(), x);
    return &own.back();
  };
  if (item.learner && !item.learner->fuses()) {
    const Tensor g = transformed(gradient, factor, clip.value, coupled, value);
    const Tensor u = item.learner->step(g, g, group.hyper, now);
    check_shape(u, item, "preconditioner", item.preconditioner_name);
    update.gradient = keep(u);
    return update;
  }
  if (on_direction) {
    const Tensor g = transformed(gradient, factor, clip.value, coupled, value);
    const Tensor u = transformed(g, 1, 0, std::exchange(update.late_decay, 0), value);
    update.correlated = keep(g);
    const Tensor direction = item.rule->direction(u, group.current);
    check_shape(direction, item, "rule", item.rule_name);
    update.gradient = keep(direction);
    item.learner->describe(group.hyper, now, update, matrices);
    return update;
  }
  update.factor = factor;
  update.limit = clip.value;
  update.decay = coupled;
  if (item.learner) item.learner->describe(group.hyper, now, update, matrices);
  return update;
}

void Optimizer::Impl::forget_inputs() {
  for (OptimizerItem& item : items)
    if (item.bnp) item.bnp->begin_batch();
}

void Optimizer::Impl::end_step(const std::vector<Tensor>& gradients) {
  for (size_t i = 0; i < items.size(); ++i) {
    OptimizerItem& item = items[i];
    if (item.curved) item.rule->set_curvature({});  // its memory serves the next sweep
    if (item.learner && gradients[i].defined())
      item.learner->stepped(step_scale, item.rule->gain(groups[item.group].current));
  }
  ++steps;
}

std::vector<Tensor> Optimizer::Impl::gradients() const {
  std::vector<Tensor> gradients;
  gradients.reserve(items.size());
  std::vector<const OptimizerItem*> curved;
  for (const OptimizerItem& item : items) {
    gradients.push_back(item.parameter.grad());
    if (!gradients.back().defined()) continue;
    check_gradient(item.parameter, gradients.back());
    if (item.learner) item.learner->check_previous();
    if (item.curved || scaling) check_curvature(item.parameter);
    if (item.curved || scaling) curved.push_back(&item);
  }
  check_finite(curved, scaling);
  return gradients;
}

Optimizer::Impl& Optimizer::impl() const {
  if (!impl_) fail(ErrorKind::value, "optimizer", "this optimizer was moved from");
  return *impl_;
}

void Optimizer::step() {
  if (impl().gradient_penalty)
    fail(ErrorKind::value, "optimizer",
         "with a gradient penalty a step needs the loss at two points: call step(backward)");
  impl().step(impl().gradients());
}

void Optimizer::step(const std::function<void()>& backward) {
  if (!backward) fail(ErrorKind::value, "optimizer", "step(backward) expects a function, got an empty one");
  zero_grad();
  backward();
  std::vector<Tensor> gradients = impl().gradients();
  if (std::ranges::none_of(gradients, &Tensor::defined))
    fail(ErrorKind::value, "optimizer",
         "step(backward) left no parameter a gradient: the function has to call "
         "backward() on a loss that depends on them");
  if (impl().gradient_penalty) impl().penalize(gradients, backward);
  impl().step(std::move(gradients));
}

void Optimizer::Impl::step(std::vector<Tensor> gradients) {
  const std::vector<Tensor> of_loss = gradients;
  for (size_t i = 0; i < gradients.size(); ++i) {
    const OptimizerItem& item = items[i];
    if (item.curved && gradients[i].defined()) item.rule->set_curvature(item.parameter.curvature());
    if (item.bnp && gradients[i].defined() && gradients[item.bias].defined())
      item.bnp->condition(gradients[i], gradients[item.bias]);
  }
  const double factor = clip.norm > 0 ? clip_factor(global_norm(gradients), clip.norm) : 1;
  for (OptimizerGroup& group : groups) group.refresh(steps);

  if (scaling) {
    step_scaled(gradients, factor);
    end_step(gradients);
    return;
  }
  std::vector<ParameterUpdate> updates;
  std::vector<MatrixUpdate> matrices;
  std::vector<size_t> unfinished;  // items whose preconditioners have something left to do
  std::list<Tensor> own;           // gradients that had to be preconditioned beforehand
  updates.reserve(items.size());
  for (size_t i = 0; i < gradients.size(); ++i) {
    OptimizerItem& item = items[i];
    if (!gradients[i].defined()) {
      if (item.learner) item.learner->skip();
    } else if (item.fuses(gradients[i], of_loss[i])) {
      updates.push_back(describe(item, gradients[i], factor, own, matrices));
      if (item.learner && item.learner->fuses()) unfinished.push_back(i);
    } else {
      step(item, gradients[i], of_loss[i], factor);
    }
  }
  update_(updates, matrices);
  for (const size_t i : unfinished) {
    OptimizerItem& item = items[i];
    item.learner->finish(gradients[i], groups[item.group].hyper, at(item));
  }
  end_step(gradients);
}

void Optimizer::backward(const Var& loss) const {
  if (!impl().curvature) return loss.backward();
  CurvatureOptions options = *impl().curvature;
  options.key.offset += static_cast<uint64_t>(impl().steps) << 32;  // up to 2^34 random signs per step
  backward_with_curvature(loss, options);
}

const std::optional<CurvatureOptions>& Optimizer::curvature() const { return impl().curvature; }
double Optimizer::step_scale() const { return impl().step_scale; }

void Optimizer::zero_grad() {
  for (OptimizerItem& item : impl().items) item.parameter.clear_grad();
  impl().forget_inputs();
}

void Optimizer::skip() {
  ++impl().steps;
  impl().forget_inputs();
}
int64_t Optimizer::steps() const { return impl().steps; }
size_t Optimizer::groups() const { return impl().groups.size(); }

Settings Optimizer::settings(size_t group) const {
  check_group("settings", group, groups());
  return impl().groups[group].now(impl().steps);
}

void Optimizer::set(std::string_view name, double value, size_t group) {
  check_group("set", group, groups());
  Settings& settings = impl().groups[group].base;
  settings.at(name);  // throws, naming what there is
  check_setting(name, value);
  settings.set(name, value);
}

void Optimizer::set(std::string_view name, double value) {
  bool found = false;
  for (OptimizerGroup& group : impl().groups)
    if (group.base.contains(name)) {
      check_setting(name, value);
      group.base.set(name, value);
      found = true;
    }
  if (!found) impl().groups.front().base.at(name);  // throws, naming what there is
}

std::vector<std::string> Optimizer::members(size_t group) const {
  check_group("members", group, groups());
  std::vector<std::string> names;
  for (const OptimizerItem& item : impl().items)
    if (item.group == group) names.push_back(item.parameter.name());
  return names;
}

std::vector<PreconditionerReport> Optimizer::diagnostics(Diagnose what, DiagnoseOn on) const {
  std::vector<PreconditionerReport> reports;
  for (OptimizerItem& item : impl().items) {
    if (!item.learner) continue;
    const OptimizerGroup& group = impl().groups[item.group];
    const Tensor g = on == DiagnoseOn::gradient ? item.parameter.grad()
                                                : Tensor::ones(item.parameter.shape(), item.parameter.value().dtype());
    PreconditionerReport report = item.learner->report(g, {impl().steps + 1, group.now(impl().steps).at("lr")}, what);
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
