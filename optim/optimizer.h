// The optimizer: one step is gradients (never written) -> their conditioning by input statistics -> clip, coupled
// penalties -> preconditioner -> rule -> learning rate -> decoupled penalties -> parameters. Every stage but the rule
// is optional.
//
//   auto opt = optim::over(model.parameters())
//                  .precondition(optim::Fop{.hyper = optim::Adam{.lr = 1e-4}})
//                  .rule(optim::Sgd{.lr = 0.05, .momentum = 0.9})
//                  .schedule(optim::per_epoch(optim::multi_step({80}), loader.batches()))
//                  .weight_decay({.rate = 1e-3, .where = optim::is_weight})
//                  .build();
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "autograd/parameter.h"
#include "core/state_dict.h"
#include "optim/bnp.h"
#include "optim/clip.h"
#include "optim/diagnostics.h"
#include "optim/gradient_penalty.h"
#include "optim/l1.h"
#include "optim/precondition/fop.h"
#include "optim/precondition/pp_hd.h"
#include "optim/precondition/s_hd.h"
#include "optim/preconditioner.h"
#include "optim/predicate.h"
#include "optim/rules/adagrad.h"
#include "optim/rules/adahesscale.h"
#include "optim/rules/adahessian.h"
#include "optim/rules/adam.h"
#include "optim/rules/rmsprop.h"
#include "optim/rules/sgd.h"
#include "optim/schedule.h"
#include "optim/step_scaling.h"
#include "optim/weight_decay.h"

namespace gradus::optim {

/// What a group of parameters has of its own. Every field that is not given is inherited from the builder.
struct Group {
  std::optional<double> lr = std::nullopt;
  std::optional<double> weight_decay = std::nullopt;  ///< rate only, whatever WeightDecay::where; the mode is inherited
  std::optional<AnyRule> rule = std::nullopt;         ///< brings its own hyperparameters, AdamW's decay among them
  std::optional<AnyPreconditioner> preconditioner = std::nullopt;  ///< NoPreconditioner{} turns it off
  std::optional<Schedule> schedule = std::nullopt;                 ///< of the learning rate
  Settings settings = {};  ///< any other hyperparameter by name: {{"momentum", 0.5}, {"hyper.lr", 0.0}}
};

class Builder;

class Optimizer {
 public:
  Optimizer(Optimizer&&) noexcept;
  Optimizer& operator=(Optimizer&&) noexcept;
  ~Optimizer();

  /// One step with the gradients that backward() left in the parameters. A parameter without one is left alone.
  /// Gradients and curvatures that do not fit are refused before anything changes. An exception from further on (out of
  /// a rule or preconditioner, or for want of memory) leaves a step half made, in the parameters and in the state, and
  /// steps() uncounted: load a checkpoint of both before going on.
  void step();
  /// loss.backward(), and what the rule or the step scaling asks for beside it: Parameter::curvature(). In place of
  /// loss.backward() it serves any optimizer.
  void backward(const Var& loss) const;
  /// How that is estimated; nothing where nobody asks for it.
  const std::optional<CurvatureOptions>& curvature() const;
  /// What the last step was multiplied with: 1 without step scaling.
  double step_scale() const;
  /// The same with gradients that `backward` leaves in the parameters: it runs the model and calls backward() on its
  /// loss. With a gradient penalty it is called a second time, at another point; so that both see the same dropout, it
  /// should call the model's set_step(). Parameters and gradients are those of the first point afterwards. Gradients
  /// are dropped before each call: zero_grad() is not needed, and what was accumulated before is lost. Throws where no
  /// gradient came.
  void step(const std::function<void()>& backward);
  /// Counts a step that is left out, as of a batch whose gradients are not finite: schedules go on, and nothing else
  /// changes.
  void skip();
  /// Drops the gradients. (Their memory may serve a preconditioner as the previous gradient for one more step.)
  void zero_grad();
  /// Completed steps, and those that were left out.
  int64_t steps() const;

  size_t groups() const;
  /// The hyperparameters that the next step will use, schedules included: "lr", "weight_decay", the rule's own, and the
  /// inner rule's as "hyper.lr" and so on.
  Settings settings(size_t group = 0) const;
  double lr(size_t group = 0) const { return settings(group).at("lr"); }
  /// Replaces a hyperparameter (before its schedule) in every group that has it; throws where none has, and where the
  /// value is out of range.
  void set(std::string_view name, double value);
  /// The same in one group. Throws where there is no such group, or where it does not have the hyperparameter.
  void set(std::string_view name, double value, size_t group);
  /// Names of the parameters of a group. Throws where there is no such group.
  std::vector<std::string> members(size_t group) const;

  /// Everything that a resumed run needs to be bit-equal to an uninterrupted one: "<parameter>/<slot>" for what stages
  /// remember, "group.0/lr" and so on for hyperparameters, "optimizer/step". Tensors share memory with the optimizer:
  /// write or clone them before the next step.
  StateDict state() const;
  /// Copies values in. Throws one error that lists every missing, unexpected and mis-shaped name, or names a
  /// hyperparameter that is out of range; nothing is changed then.
  void load(const StateDict& state);
  int64_t state_bytes() const;

  /// One report per preconditioned parameter, in order of parameters.
  std::vector<PreconditionerReport> diagnostics(Diagnose what = Diagnose::everything,
                                                DiagnoseOn on = DiagnoseOn::gradient) const;

 private:
  friend class Builder;
  struct Impl;
  explicit Optimizer(std::unique_ptr<Impl> impl);
  Impl& impl() const;  ///< throws where it was moved from
  std::unique_ptr<Impl> impl_;
};

class Builder {
 public:
  explicit Builder(std::vector<Parameter> parameters) : parameters_(std::move(parameters)) {}

  Builder& rule(AnyRule rule);
  /// build() throws where it takes none of the parameters.
  Builder& precondition(AnyPreconditioner preconditioner);
  /// Of the learning rate.
  Builder& schedule(Schedule schedule) { return this->schedule("lr", std::move(schedule)); }
  /// Of any hyperparameter: "momentum", "weight_decay", "hyper.lr". A second schedule of the same one replaces the
  /// first. What it makes of the hyperparameter is checked at every step as set() checks it.
  Builder& schedule(std::string setting, Schedule schedule);
  Builder& clip(Clip clip);
  Builder& weight_decay(WeightDecay decay);
  Builder& scale_steps(StepScaling scaling);
  /// Throws where the rate is negative.
  Builder& l1(L1 penalty);
  /// Then steps are step(backward).
  Builder& gradient_penalty(GradientPenalty penalty);
  Builder& bnp(Bnp bnp);
  /// Where several groups match a parameter, each field comes from the last that has it. One may match none, and is
  /// then no group of the optimizer, whose groups are numbered by their first parameters: Optimizer::members() tells.
  Builder& group(Predicate where, Group overrides);
  /// Throws for no rule, no parameters, two parameters of one name, overrides of hyperparameters that do not exist, and
  /// hyperparameters that are out of range.
  Optimizer build() const;

 private:
  std::vector<Parameter> parameters_;
  std::optional<AnyRule> rule_;
  AnyPreconditioner preconditioner_;
  std::vector<std::pair<std::string, Schedule>> schedules_;
  Clip clip_;
  std::optional<WeightDecay> decay_;
  std::optional<StepScaling> scaling_;
  std::optional<L1> l1_;
  std::optional<GradientPenalty> gradient_penalty_;
  std::optional<Bnp> bnp_;
  struct Override {
    Predicate where;
    Group group;
  };
  std::vector<Override> groups_;
};

inline Builder over(std::vector<Parameter> parameters) { return Builder(std::move(parameters)); }

}  // namespace gradus::optim
