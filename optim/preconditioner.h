// The interface of a learned preconditioner: a linear map P(m) of gradients with one learned tensor m per parameter,
// trained by hypergradients while the network trains (Moskovitz et al. 2019, arXiv 1910.08461). A preconditioner is a
// pure function of m: the learner keeps all state. To add one, derive from Preconditioner and write an aggregate of
// options with make(): docs/your-own-preconditioner.md.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "autograd/parameter.h"
#include "optim/predicate.h"
#include "optim/rule.h"
#include "optim/rules/adam.h"

namespace gradus::optim {

/// Which step of the optimizer: its number, from 1, and the learning rate it uses.
struct StepInfo {
  int64_t step = 1;
  double lr = 0;
};

/// The parameter that a preconditioner is made for.
struct Site {
  const ParamInfo& info;
  const Tensor& value;
  double lr = 0;       ///< the group's learning rate at the start
  uint64_t index = 0;  ///< number of the parameter in the optimizer: a stream for random numbers
};

/// What P multiplies: the gradient that goes to the rule, or the direction that the rule makes (a momentum, say).
enum class ActsOn { gradient, direction };

/// What hypergradients are divided by, so that the inner rule's learning rate means the same at every size of
/// gradients: x is what the previous step preconditioned, norms are Euclidean, and where they are 0 the hypergradient
/// counts as 0.
enum class HyperNormalization {
  none,
  cosine,   ///< |g(t)| |x|: of P = s I, ds is -eps times the cosine of two steps' gradients
  previous  ///< |x|^2, with include_lr off the feedback of online scaled gradient methods (arXiv 2505.23081)
};

/// How hypergradients are used; the defaults are Algorithm 1 of the paper.
struct Learning {
  bool include_lr = true;     ///< the step size of the step that made theta(t) is a factor of the hypergradient
  bool update_first = false;  ///< m learns from g(t) before it preconditions g(t), not after
  bool exact = false;         ///< differentiate at m(t-1), which made theta(t), not at m(t): costs a copy of m
  bool count_first = false;   ///< the inner rule sees a zero hypergradient where no previous gradient is, not nothing
  ActsOn acts_on = ActsOn::gradient;
  HyperNormalization normalization = HyperNormalization::none;  ///< others are not fused
};

class Preconditioner {
 public:
  virtual ~Preconditioner() = default;
  /// A fresh m, where learning starts.
  virtual Tensor initial() const = 0;
  /// P(m) x, shaped like x, which has the shape of the parameter and is not written.
  virtual Tensor apply(const Tensor& m, const Tensor& x, const StepInfo& at) const = 0;
  /// The gradient with respect to m of <g, P(m) x>, shaped like m. As theta(t) = theta(t-1) - eps gain P(m) x, with
  /// the gain of the rule (1 but for Nesterov's), the learner multiplies it with -eps gain to get dJ(t)/dm. `at` is the
  /// step that made theta(t).
  virtual Tensor gradient(const Tensor& m, const Tensor& g, const Tensor& x, const StepInfo& at) const = 0;

  // For the fused step, which needs P as data and not as a function; a method that says nothing here works all the
  // same.
  /// Where P(m) acts alike on every row of so many consecutive elements of a contiguous parameter (at most 64), as the
  /// matrix that matrix() gives and with the gradient that gradient_of_rows() gives; 0 otherwise.
  virtual int64_t row_length() const { return 0; }
  /// The same as gradient(), from C [n, n], the sum of g x^T over the rows.
  virtual Tensor gradient_of_rows(const Tensor& m, const Tensor& c, const StepInfo& at) const;
  /// Where matrix() and gradient_of_rows() are one of the forms that a kernel knows, its form and norm: all such
  /// matrices, m [n, n], learn in one more kernel call.
  virtual std::optional<MatrixUpdate> matrix_update() const { return std::nullopt; }
  /// Whether P(m) x is m x, elementwise.
  virtual bool is_diagonal() const { return false; }

  /// What m is called in the optimizer's state: a name for each kind of m whose shape another kind has too, so that
  /// load() refuses one for the other.
  virtual std::string learned_name() const { return "learned"; }

  /// The user's choice, with what this method's definition fixes.
  virtual Learning learning(Learning chosen) const { return chosen; }

  // For diagnostics:
  /// P(m) as a matrix [n, n]; undefined where it would be too large to be worth forming.
  virtual Tensor matrix(const Tensor& m, const StepInfo& at) const;
  /// Ascending, float64, of the symmetric part of matrix(); override where there is no matrix.
  virtual Tensor eigenvalues(const Tensor& m, const StepInfo& at) const;
  /// How many numbers the paper counts for it ("additional parameters"), where that differs from the elements of m.
  virtual int64_t paper_count() const { return initial().numel(); }
};

/// Options of a preconditioner: `static constexpr const char* name`, the inner rule `hyper`, `learning`, and the maker
/// for one parameter, which gives null where the method leaves the parameter alone (biases, say).
template <class T>
concept PreconditionerOptions = requires(const T& options, const Site& site) {
  { T::name } -> std::convertible_to<const char*>;
  { options.hyper } -> std::convertible_to<AnyRule>;
  { options.learning } -> std::convertible_to<Learning>;
  { options.make(site) } -> std::convertible_to<std::unique_ptr<Preconditioner>>;
};

/// Gradients go to the rule as they are.
struct NoPreconditioner {};

/// Any preconditioner's options: Fop{...}, SHd{...}, NoPreconditioner{}, or a user's own.
class AnyPreconditioner {
 public:
  AnyPreconditioner(NoPreconditioner = {}) : name_("none"), hyper_(Adam{}) {}  // NOLINT(google-explicit-constructor)
  template <PreconditionerOptions T>
  AnyPreconditioner(T options)  // NOLINT(google-explicit-constructor): .precondition(Fop{...})
      : name_(T::name),
        hyper_(options.hyper),
        learning_(options.learning),
        make_([options](const Site& site) { return std::unique_ptr<Preconditioner>(options.make(site)); }) {}

  const std::string& name() const { return name_; }
  const AnyRule& hyper() const { return hyper_; }
  const Learning& learning() const { return learning_; }
  std::unique_ptr<Preconditioner> make(const Site& site) const { return make_ ? make_(site) : nullptr; }

 private:
  std::string name_;
  AnyRule hyper_;
  Learning learning_;
  std::function<std::unique_ptr<Preconditioner>(const Site&)> make_;
};

}  // namespace gradus::optim
