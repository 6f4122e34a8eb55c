// One step of hypergradient descent.
#include "optim/learner.h"

#include <utility>

#include "core/error.h"
#include "core/ops.h"

namespace gradus::optim {

namespace {

/// m(0) in memory of its own, whatever initial() shares it with.
Tensor fresh(const Tensor& m, const std::string& name) {
  if (!m.defined() || !is_floating(m.dtype()))
    fail(ErrorKind::value, "optim", "initial() of preconditioner '", name, "' must make a floating tensor, but made ",
         m.defined() ? text(m.dtype(), " ", m.shape()) : "an undefined one");
  Tensor own = Tensor::empty_like(m);
  copy_(own, m);
  return own;
}

}  // namespace

Learner::Learner(std::unique_ptr<const Preconditioner> preconditioner, const AnyPreconditioner& options,
                 const Tensor& value)
    : preconditioner_(std::move(preconditioner)),
      learning_(preconditioner_->learning(options.learning())),
      like_(value),
      name_(options.name()),
      learned_(fresh(preconditioner_->initial(), name_)),
      rule_name_(options.hyper().name()),
      rule_(options.hyper().make(learned_)) {
  // M first means that the current m made theta(t): exact already.
  if (learning_.update_first) learning_.exact = false;
  if (learning_.exact) applied_ = clone(learned_);
}

Tensor Learner::step(const Tensor& g, const Tensor& x, const Settings& hyper, const StepInfo& at) {
  if (learning_.update_first) learn(g, hyper);
  const uint64_t version = x.version();
  const Tensor preconditioned = preconditioner_->apply(learned_, x, at);
  if (x.version() != version)
    fail(ErrorKind::value, "optim", "apply() of preconditioner '", name_,
         "' wrote to x, which others read: it has to "
         "return memory of its own");
  if (!learning_.update_first) {
    const Tensor current = learning_.exact ? clone(learned_) : Tensor();
    learn(g, hyper);
    if (learning_.exact) copy_(applied_, current);
  }
  remember(x, at, !acts_on_direction());
  return preconditioned;
}

void Learner::check_previous() const {
  if (previous_.defined() && previous_.version() != previous_version_)
    fail(ErrorKind::value, "optim", "the gradient of the last step was written to after step(), but preconditioners ",
         "learn from it; give set_grad() fresh memory at every step");
}

void Learner::learn(const Tensor& g, const Settings& hyper) {
  if (!previous_.defined() && !learning_.count_first) return;
  Tensor h = previous_.defined()
                 ? preconditioner_->gradient(learning_.exact ? applied_ : learned_, g, previous_, previous_at_)
                 : zeros_like(learned_);
  if (!h.defined() || !(h.shape() == learned_.shape()) || h.dtype() != learned_.dtype())
    fail(ErrorKind::shape, "optim", "gradient() of preconditioner '", name_, "' must be shaped like its m, ",
         learned_.dtype(), " ", learned_.shape(), ", but is ",
         h.defined() ? text(h.dtype(), " ", h.shape()) : "undefined");
  follow(h, hyper_factor() * normalization(g), hyper);
}

double Learner::normalization(const Tensor& g) const {
  if (learning_.normalization == HyperNormalization::none || !previous_.defined()) return 1;
  const double x = norm(previous_);
  const double size = x * (learning_.normalization == HyperNormalization::cosine ? norm(g) : x);
  return size > 0 ? 1 / size : 0;
}

void Learner::follow(Tensor& h, double scale, const Settings& hyper) {
  scale_(h, scale);
  descend(learned_, rule_->direction(h, hyper), hyper.at("lr"), hyper.get("weight_decay", 0));
}

bool Learner::fuses() const {
  if (learning_.update_first || learning_.exact || learning_.count_first ||
      learning_.normalization != HyperNormalization::none)
    return false;
  if (preconditioner_->is_diagonal()) return rule_->fuses() && learned_.strides() == like_.strides();
  const int64_t n = preconditioner_->row_length();
  return n == 1 || (n > 1 && like_.is_contiguous());
}

Tensor Learner::formed(const StepInfo& at) const {
  const auto form = preconditioner_->matrix_update();
  const bool is_itself = form && form->form == MatrixUpdate::Form::plain && form->norm == 0;
  if (!form || is_itself) {
    const Tensor p = preconditioner_->matrix(learned_, at);
    if (!p.defined())
      fail(ErrorKind::value, "optim", "a preconditioner with row_length() ", preconditioner_->row_length(),
           " must have a matrix() too, but it gives none");
    return contiguous(p);
  }
  Tensor m = clone(learned_), p = Tensor::empty_like(m);
  const Tensor nothing = zeros_like(m);
  MatrixUpdate stay = *form;
  stay.matrix = &m;
  stay.correlation = &nothing;
  stay.p = &p;
  update_matrices_({&stay, 1});
  return p;
}

void Learner::describe(const Settings& hyper, const StepInfo& at, ParameterUpdate& update,
                       std::vector<MatrixUpdate>& matrices) {
  const bool learns = previous_.defined();
  if (learns) update.previous = &previous_;
  if (preconditioner_->is_diagonal()) {
    update.diagonal = &learned_;
    if (learns) {
      update.hyper = inner_step(hyper);
      update.hyper_factor = hyper_factor();
    }
  } else {
    const auto form = preconditioner_->matrix_update();
    if (!p_.defined() || !form || p_version_ != learned_.version()) {
      p_ = formed(at);
      p_version_ = learned_.version();
    }
    update.p = &p_;
    if (learns) {
      if (!correlation_.defined()) correlation_ = Tensor::empty_like(p_);
      update.correlation = &correlation_;
    }
    if (learns && form && rule_->fuses()) {
      MatrixUpdate& matrix = matrices.emplace_back(*form);
      matrix.matrix = &learned_;
      matrix.correlation = &correlation_;
      matrix.factor = hyper_factor();
      matrix.rule = inner_step(hyper);
      if (!(p_.storage() == learned_.storage())) matrix.p = &p_;
      p_version_ = learned_.version() + 1;  // the step's
    }
  }
  const bool is_gradient = update.factor == 1 && update.limit == 0 && update.decay == 0 && !acts_on_direction();
  if (is_gradient && !update.gradient->storage().captured()) return;
  kept_ = Tensor::empty_like(like_);
  update.kept = &kept_;
}

RuleUpdate Learner::inner_step(const Settings& hyper) {
  RuleUpdate step = rule_->fused(hyper);
  step.lr = hyper.at("lr");
  step.decay = hyper.get("weight_decay", 0);
  return step;
}

void Learner::finish(const Tensor& gradient, const Settings& hyper, const StepInfo& at) {
  const bool is_learned = preconditioner_->is_diagonal() || (preconditioner_->matrix_update() && rule_->fuses());
  if (previous_.defined() && !is_learned) {
    Tensor h = preconditioner_->gradient_of_rows(learned_, correlation_, previous_at_);
    follow(h, hyper_factor(), hyper);
  }
  remember(kept_.defined() ? std::exchange(kept_, Tensor()) : gradient, at, true);
}

void Learner::remember(const Tensor& x, const StepInfo& at, bool stays) {
  // What captured work uses is written again by replays.
  if (!stays || x.storage().captured() || !(x.strides() == like_.strides())) {
    if (!previous_.defined() || stays) previous_ = Tensor::empty_like(like_);
    copy_(previous_, x);
  } else {
    previous_ = x;
  }
  previous_version_ = previous_.version();
  previous_at_ = at;
}

void Learner::slots(Slots& slots) {
  slots.add(preconditioner_->learned_name(), learned_);
  slots.add(acts_on_direction() ? "previous_direction" : "previous", previous_, like_);
  slots.add("previous_step", previous_at_.step);
  slots.add("previous_lr", previous_at_.lr);
  if (!acts_on_direction()) slots.add("previous_gain", previous_gain_);
  if (learning_.exact) slots.add("applied", applied_);
  slots.nest(rule_name_, *rule_);
}

PreconditionerReport Learner::report(const Tensor& g, const StepInfo& at, Diagnose what) const {
  return report_on(*preconditioner_, learned_, g.defined() ? g : previous_, at, what);
}

}  // namespace gradus::optim
