// What an optimizer is made of. Internal to optim: builder.cpp fills it, optimizer.cpp runs it, state.cpp saves it.
#pragma once

#include <list>
#include <map>

#include "optim/bnp_layer.h"
#include "optim/learner.h"
#include "optim/optimizer.h"

namespace gradus::optim {

/// Parameters that share hyperparameters.
struct OptimizerGroup {
  Settings base;  ///< before schedules
  std::map<std::string, Schedule, std::less<>> schedules;
  DecayMode decay_mode = DecayMode::coupled;
  int64_t members = 0;  ///< a number made of its parameters' names, in whatever order: load() compares it
  Settings current;     ///< during a step: what it uses
  Settings hyper;       ///< the inner rule's among them, without their prefix

  /// Hyperparameters after so many completed steps.
  Settings now(int64_t steps) const;
  /// The same into `current` and `hyper`.
  void refresh(int64_t steps);
};

/// One parameter and its stages.
struct OptimizerItem {
  Parameter parameter;
  size_t group = 0;
  bool decays = false;
  bool alone = true;  ///< no other parameter has the same memory
  std::string rule_name;
  std::unique_ptr<Rule> rule;
  std::string preconditioner_name;
  std::unique_ptr<Learner> learner;  ///< null: not preconditioned
  bool curved = false;               ///< the rule wants curvature
  Tensor curvature_average;          ///< of step scaling, where there is one
  bool averages_magnitudes = false;  ///< in it: |h|, not h^2
  std::optional<L1Mode> l1 = {};
  std::shared_ptr<BnpLayer> bnp = {};  ///< of a weight; null: not conditioned
  size_t bias = 0;                     ///< with bnp: the item of the layer's bias

  /// Whether the kernel over all parameters takes this one. Where Bnp made the gradient of that of the loss, a
  /// preconditioner learns from another tensor than it multiplies, which the kernel does not.
  bool fuses(const Tensor& gradient, const Tensor& of_loss) const {
    const Tensor& value = parameter.value();
    if (learner && gradient.storage() != of_loss.storage()) return false;
    const bool has_kernel = learner && learner->acts_on_direction() ? learner->fuses() : rule->fuses();
    return alone && !l1 && has_kernel && gradient.strides() == value.strides() && value.is_dense();
  }
  void slots(Slots& slots) {
    slots.nest(rule_name, *rule);
    if (learner) slots.nest(preconditioner_name, *learner);
    if (curvature_average.defined())
      slots.add(averages_magnitudes ? "scaling.magnitude" : "scaling.curvature", curvature_average);
    if (bnp) slots.nest("bnp", *bnp);
  }
};

/// Of the tensors and numbers listed.
int64_t bytes_of(const Slots& slots);

struct Optimizer::Impl {
  std::vector<OptimizerItem> items;  ///< in order of parameters
  std::vector<OptimizerGroup> groups;
  Clip clip;
  std::optional<CurvatureOptions> curvature;  ///< what the rules or the scaling ask for
  std::optional<StepScaling> scaling;
  double step_scale = 1;
  int64_t scaled_steps = 0;  ///< that its averages have seen
  std::optional<GradientPenalty> gradient_penalty;
  int64_t steps = 0;

  StepInfo at(const OptimizerItem& item) const { return {steps + 1, groups[item.group].current.at("lr")}; }
  /// The rate of weight decay where it enters in this mode, else 0.
  double decay(const OptimizerItem& item, DecayMode mode) const;
  /// The rate of L1, 0 where there is none.
  double l1_rate(const OptimizerItem& item) const;
  /// Where a step on its own goes: any rule, any preconditioner, any memory order. `of_loss` is the gradient before
  /// bnp, from which preconditioners learn.
  Tensor direction(OptimizerItem& item, const Tensor& gradient, const Tensor& of_loss, double factor);
  void step(OptimizerItem& item, const Tensor& gradient, const Tensor& of_loss, double factor) {
    descend(item, direction(item, gradient, of_loss, factor), 1);
  }
  void descend(OptimizerItem& item, const Tensor& direction, double scale);
  /// All steps, shortened together.
  void step_scaled(const std::vector<Tensor>& gradients, double factor);
  void end_step(const std::vector<Tensor>& gradients);
  /// Inputs that were seen belong to no step any more.
  void forget_inputs();
  /// Every parameter's gradient, checked; undefined where there is none.
  std::vector<Tensor> gradients() const;
  /// The step from these gradients, bnp's first.
  void step(std::vector<Tensor> gradients);
  /// B g, where the next step, before it learns from it, multiplies the gradient by B.
  Tensor intrinsic_gradient(const OptimizerItem& item, const Tensor& gradient) const;
  /// The gradients of the gradient penalty, from those of the loss, which backward() gives.
  void penalize(std::vector<Tensor>& gradients, const std::function<void()>& backward);
  /// A step as data for update_(); `own` takes tensors that had to be computed beforehand, `matrices` what its
  /// preconditioner learns.
  ParameterUpdate describe(OptimizerItem& item, const Tensor& gradient, double factor, std::list<Tensor>& own,
                           std::vector<MatrixUpdate>& matrices);
  /// Every slot with its full name; hyperparameters and the step count are slots too.
  std::vector<Slot> slots();
};

}  // namespace gradus::optim
