// A variable: a tensor together with its place on the tape. Every operation of autograd/ops.h on variables that require
// a gradient records one node; backward() and grad() walk the nodes in reverse order of creation. One thread at a time
// walks a graph, its leaves included; a hook may start a walk inside a walk.
#pragma once

#include <concepts>
#include <functional>
#include <iosfwd>
#include <optional>
#include <span>
#include <vector>

#include "autograd/node.h"
#include "core/tensor.h"

namespace gradus {

/// Value semantics: copies share the tensor's memory and the node. A Tensor converts to a constant Var.
class Var {
 public:
  Var() = default;
  Var(Tensor value) : value_(std::move(value)) {}  // NOLINT(google-explicit-constructor): constants mix with variables
  Var(Tensor value, NodePtr node) : value_(std::move(value)), node_(std::move(node)) {}
  /// A leaf whose gradient backward() accumulates. Throws for a tensor that is undefined or not floating.
  static Var leaf(Tensor value);

  bool defined() const { return value_.defined(); }
  const Tensor& value() const { return value_; }
  /// For in-place operations, such as add_(p.mutable_value(), d, -lr): writes go to the memory that all copies share,
  /// and bump its version. To assign another tensor to it changes this copy alone.
  Tensor& mutable_value() { return value_; }
  /// Writes the values of a tensor of this shape and dtype into the memory that all copies share. Throws for others.
  void set_value(const Tensor& value) const;
  const Shape& shape() const { return value_.shape(); }
  DType dtype() const { return value_.dtype(); }
  int rank() const { return value_.rank(); }
  int64_t size(int64_t dim) const { return value_.size(dim); }
  double item() const { return value_.item(); }

  /// Whether operations on it are recorded: not on constants and frozen leaves.
  bool requires_grad() const { return node_ && node_->wanted(); }
  /// Freezes a leaf, or thaws it: for all copies, from the next operation on. Freezing drops gradient and curvature.
  /// Throws for non-leaves.
  void set_requires_grad(bool on) const;
  bool is_leaf() const;
  const NodePtr& node() const { return node_; }
  /// The same tensor as a constant.
  Var detach() const { return Var(value_); }

  /// Gradient accumulated in a leaf by backward(); undefined where none came. Throws for non-leaves. It may share
  /// memory with other gradients or the seed: clone() it before writing it in place.
  const Tensor& grad() const;
  /// Of this variable's shape and dtype, or undefined for none.
  void set_grad(Tensor grad) const;
  /// Drops the gradient, and the curvature with it.
  void clear_grad() const;
  /// Curvature accumulated in a leaf by backward_with_curvature() of autograd/curvature.h; undefined where none came.
  const Tensor& curvature() const;
  void set_curvature(Tensor curvature) const;

  struct BackwardOptions {
    bool retain_graph = false;  ///< keep saved tensors for another walk; otherwise each is freed once it was used
  };
  /// Adds d(this)/d(leaf) to every reachable leaf's grad(). Needs a single element, unless a seed of this shape is
  /// given.
  void backward() const { backward(BackwardOptions{}); }
  void backward(const BackwardOptions& options) const;
  void backward(const Tensor& seed) const { backward(seed, BackwardOptions{}); }
  void backward(const Tensor& seed, const BackwardOptions& options) const;

  /// Calls `hook` with the complete gradient of this variable whenever a walk reaches it; a defined result,
  /// of the same shape and dtype, replaces it. Requires requires_grad(), and a hook.
  void on_grad(std::function<Var(const Var&)> hook) const;

 private:
  Tensor value_;
  NodePtr node_;
};

/// Variables as an argument: {x, y}, a span, or a vector of Var or of what derives from it, as Module::parameters() is.
struct VarList : std::vector<Var> {
  using std::vector<Var>::vector;
  VarList(std::span<const Var> vars) : vector(vars.begin(), vars.end()) {}  // NOLINT(google-explicit-constructor)
  template <std::derived_from<Var> V>
  VarList(const std::vector<V>& vars) : vector(vars.begin(), vars.end()) {}  // NOLINT(google-explicit-constructor)
};

struct GradOptions {
  bool create_graph = false;  ///< record the walk itself, so that the results can be differentiated again
  bool retain_graph = false;  ///< implied by create_graph
  bool allow_unused =
      false;  ///< an input that does not influence the outputs gives an undefined Var instead of an error
  std::vector<Var> seeds{};  ///< one per output, shaped like it; ones by default, which needs single-element outputs
};
/// d(outputs)/d(inputs), summed over outputs, one per input and shaped like it. Leaves' grad() is untouched. Inputs may
/// be any variables of the graph, and grad(loss, model.parameters()) gives one gradient per parameter. Results may
/// share memory with each other, with a seed and with any other gradient: clone() one before writing it in place.
std::vector<Var> grad(std::span<const Var> outputs, const VarList& inputs, const GradOptions& options = {});
std::vector<Var> grad(const Var& output, const VarList& inputs, const GradOptions& options = {});
Var grad(const Var& output, const Var& input, const GradOptions& options = {});

/// The value, as a Tensor shows it.
std::ostream& operator<<(std::ostream& out, const Var& var);

/// Whether operations on this thread record nodes.
bool recording();

/// While one lives, nothing is recorded on this thread.
class NoGrad {
 public:
  [[nodiscard]] NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool before_;
};

}  // namespace gradus
