// The interface of an update rule: from a (preconditioned) gradient to a direction of descent, with a memory of its
// own. To add one, write an aggregate of options with settings() and make(), as in rules/sgd.h.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "autograd/curvature.h"
#include "core/ops.h"
#include "optim/settings.h"
#include "optim/slots.h"

namespace gradus::optim {

/// The rule of one parameter: it owns that parameter's state.
class Rule {
 public:
  virtual ~Rule() = default;
  /// The direction d of theta <- theta - lr d, shaped like `gradient`, which is never written. The result may be the
  /// gradient itself or the rule's own memory: use it before the next call, and do not write to it.
  virtual Tensor direction(const Tensor& gradient, const Settings& settings) = 0;
  /// Lists the state.
  virtual void slots(Slots& slots) = 0;
  /// The diagonal curvature h of the step that comes, shaped like the gradient: before it, for rules whose options name
  /// a way to estimate it; undefined after it.
  virtual void set_curvature(const Tensor& /*h*/) {}
  /// The diagonal of the matrix B by which the last direction() multiplied its gradient (or a mean of gradients),
  /// undefined for the identity; nothing where the rule is not of this form, as by default.
  virtual std::optional<Tensor> diagonal(const Settings&) const { return std::nullopt; }
  /// Whether the rule follows the parameter in a copy, and so relies on the step theta <- theta - lr d and no other:
  /// no scaling of steps, no decay or L1 beside it, no preconditioner after it.
  virtual bool owns_step() const { return false; }
  /// The derivative of the direction by the newest gradient, where what the rule remembers is held constant:
  /// hypergradients are multiplied by it. Rules that scale elementwise (Adam) leave it at 1, as the paper does with
  /// them.
  virtual double gain(const Settings&) const { return 1; }

  /// Whether fused() is there: then the steps of all such parameters are one kernel call. direction() is there always.
  virtual bool fuses() const { return false; }
  /// What direction() would do in this step, as data; the kernel updates the state that it points to.
  virtual RuleUpdate fused(const Settings&) { return {}; }
};

/// A rule that update_() knows: fused() is all that it needs, and its second state is always there.
class FusedRule : public Rule {
 public:
  /// By the same kernel, so that a step in two parts has the bits of one that is fused.
  Tensor direction(const Tensor& gradient, const Settings& settings) override;
  bool fuses() const override { return true; }
  RuleUpdate fused(const Settings& settings) override = 0;
};

/// Options of a rule: `static constexpr const char* name`, hyperparameters with their starting values ("lr" among them;
/// a "weight_decay" among them means decoupled decay), and the maker of the rule for one parameter. A member
/// `curvature` of type CurvatureOptions asks for curvature beside the gradient.
template <class T>
concept RuleOptions = requires(const T& options, const Tensor& parameter) {
  { T::name } -> std::convertible_to<const char*>;
  { options.settings() } -> std::convertible_to<Settings>;
  { options.make(parameter) } -> std::convertible_to<std::unique_ptr<Rule>>;
};

/// Any rule's options: Sgd{...}, Adam{...}, or a user's own.
class AnyRule {
 public:
  template <RuleOptions T>
  AnyRule(T options)  // NOLINT(google-explicit-constructor): .rule(Sgd{...})
      : name_(T::name),
        settings_(options.settings()),
        make_([options](const Tensor& parameter) { return options.make(parameter); }) {
    if constexpr (requires { CurvatureOptions(options.curvature); }) curvature_ = options.curvature;
  }

  const std::string& name() const { return name_; }
  const Settings& settings() const { return settings_; }
  /// How the rule wants curvature estimated, if it does.
  const std::optional<CurvatureOptions>& curvature() const { return curvature_; }
  /// Throws ErrorKind::value where the options make none.
  std::unique_ptr<Rule> make(const Tensor& parameter) const;

 private:
  std::string name_;
  Settings settings_;
  std::optional<CurvatureOptions> curvature_;
  std::function<std::unique_ptr<Rule>(const Tensor&)> make_;
};

/// Zeros in the memory order of the parameter: how most state starts.
Tensor zeros_like(const Tensor& parameter);
/// theta <- (1 - lr decay) theta - lr direction, in one pass.
void descend(Tensor& parameter, const Tensor& direction, double lr, double decay);

}  // namespace gradus::optim
