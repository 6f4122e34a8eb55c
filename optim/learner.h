// The state and the learning of one parameter's preconditioner: the learned tensor, the previous gradient, and the
// inner rule that follows the hypergradient. Internal to optim.
#pragma once

#include <memory>
#include <vector>

#include "optim/diagnostics.h"
#include "optim/preconditioner.h"

namespace gradus::optim {

class Learner {
 public:
  /// `value` is the parameter: previous gradients are kept in its memory order.
  Learner(std::unique_ptr<const Preconditioner> preconditioner, const AnyPreconditioner& options, const Tensor& value);

  /// Learns from the gradient g of this step and what the previous step preconditioned; returns P(m) x and remembers x.
  /// x is g itself, or the rule's direction where acts_on_direction(). No copy of x is made unless the rule or captured
  /// work owns it.
  Tensor step(const Tensor& g, const Tensor& x, const Settings& hyper, const StepInfo& at);
  /// Whether update_() can do what step() does from the data that describe() gives; finish() does the rest, such as the
  /// learning of matrices that are in no form that it knows.
  bool fuses() const;
  /// Fills in the preconditioner's part, where the transformation of the gradient is already, and adds its matrix.
  void describe(const Settings& hyper, const StepInfo& at, ParameterUpdate& update,
                std::vector<MatrixUpdate>& matrices);
  void finish(const Tensor& gradient, const Settings& hyper, const StepInfo& at);
  /// Throws where the kept gradient was written to since the last step.
  void check_previous() const;
  /// No gradient came: the next one has no predecessor.
  void skip() { previous_ = Tensor(); }
  /// The step from what the last step preconditioned was lr times scale times the rule's gain.
  void stepped(double scale, double gain) {
    previous_scale_ = scale;
    if (!acts_on_direction()) previous_gain_ = gain;
  }
  bool acts_on_direction() const { return learning_.acts_on == ActsOn::direction; }
  /// P(m) x as it is now, learning and remembering nothing.
  Tensor apply(const Tensor& x, const StepInfo& at) const { return preconditioner_->apply(learned_, x, at); }

  void slots(Slots& slots);
  /// To be called after the slots were written from outside, with the scale of the step before.
  void loaded(double scale) {
    previous_scale_ = scale;
    previous_version_ = previous_.defined() ? previous_.version() : 0;
    p_ = Tensor();  // versions of new memory say nothing about the old
  }
  /// Without names and state bytes; g may be undefined.
  PreconditionerReport report(const Tensor& g, const StepInfo& at, Diagnose what) const;

 private:
  void learn(const Tensor& g, const Settings& hyper);
  /// One step of the inner rule along the gradient h of <g, P(m) x>, times `scale`; h is overwritten.
  void follow(Tensor& h, double scale, const Settings& hyper);
  /// What Learning::normalization makes of hypergradients from g.
  double normalization(const Tensor& g) const;
  /// dJ/dm = factor d<g, P(m) x>/dm
  double hyper_factor() const {
    return -previous_gain_ * (learning_.include_lr ? previous_at_.lr * previous_scale_ : 1);
  }
  /// The inner rule's next step, for update_().
  RuleUpdate inner_step(const Settings& hyper);
  /// `stays`: nobody will write to x.
  void remember(const Tensor& x, const StepInfo& at, bool stays);
  /// P(m) as steps form it: a run that was loaded has the bits of one that was not.
  Tensor formed(const StepInfo& at) const;

  std::unique_ptr<const Preconditioner> preconditioner_;
  Learning learning_;
  Tensor like_;
  std::string name_;
  Tensor learned_;   ///< m(t)
  Tensor previous_;  ///< what the previous step preconditioned; undefined at first and after a skip
  StepInfo previous_at_;
  double previous_scale_ = 1;  ///< beside previous_at_.lr, which P(m) itself may divide by
  double previous_gain_ = 1;
  uint64_t previous_version_ = 0;  ///< of the memory of previous_, which others may hold too
  Tensor applied_;                 ///< exact: the m that the previous step applied
  Tensor correlation_, kept_;      ///< of a fused step, between describe() and finish()
  Tensor p_;                       ///< P(m) for m of this version, for fused steps
  uint64_t p_version_ = 0;
  std::string rule_name_;
  std::unique_ptr<Rule> rule_;
};

}  // namespace gradus::optim
