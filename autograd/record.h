// What the definition of a differentiable operation is made of: record() puts a node on the tape, Saved keeps a tensor
// for its gradient. For writing operations; users of variables need only autograd/ops.h, and may define operations of
// their own more simply with autograd/function.h.
//
//   Var exp(const Var& x) {
//     Tensor y = exp(x.value());
//     return record("exp", y, {x}, [y = SavedOutput(y)](const Var& gy, Inputs in) { in[0] = gy * y.get(in); });
//   }
//
// The gradient is written with operations on variables, so under create_graph it is itself recorded; where recording()
// is false it may take a fused kernel instead.
#pragma once

#include <array>
#include <optional>
#include <type_traits>
#include <vector>

#include "autograd/node.h"
#include "autograd/variable.h"

namespace gradus {

/// Where a gradient function puts its results: in[i] for input i, to be left undefined where needs(i) is false.
class Inputs {
 public:
  Inputs(Node& node, std::span<Var> out) : node_(&node), out_(out) {}
  Var& operator[](size_t i) const { return out_[i]; }
  size_t size() const { return out_.size(); }
  bool needs(size_t i) const { return node_->needs_grad(i); }
  /// Of input i, known only where needs(i).
  const Shape& shape(size_t i) const { return node_->inputs()[i]->shape(); }
  DType dtype(size_t i) const { return node_->inputs()[i]->dtype(); }
  Node& node() const { return *node_; }

 private:
  Node* node_;
  std::span<Var> out_;
};

/// An input kept for the gradient, with the version of its memory; get() throws if it was changed in place since.
class Saved {
 public:
  explicit Saved(const Var& input) : var_(input), version_(input.defined() ? input.value().version() : 0) {}
  /// Keeps nothing unless `needed`, which is usually whether the other operand requires a gradient.
  Saved(const Var& input, bool needed) : Saved(needed ? input : none()) {}
  const Var& get(const Inputs& in) const;

 private:
  static const Var& none();

  Var var_;
  uint64_t version_;
};

/// The operation's own result kept for the gradient. It holds no share of the node, so there is no cycle.
class SavedOutput {
 public:
  explicit SavedOutput(const Tensor& output) : value_(output), version_(output.version()) {}
  SavedOutput(const Tensor& output, bool needed) : version_(needed ? output.version() : 0) {
    if (needed) value_ = output;
  }
  Var get(const Inputs& in) const;

 private:
  Tensor value_;
  uint64_t version_;
};

/// A variable in the list of inputs given to record().
class VarRef {
 public:
  VarRef(const Var& var) : var_(&var) {}  // NOLINT(google-explicit-constructor)
  const NodePtr& node() const { return var_->node(); }
  bool requires_grad() const { return var_->requires_grad(); }

 private:
  const Var* var_;
};

namespace detail {
[[noreturn]] void throw_released(const char* name);

/// A node whose gradient is the function F. `Links`, an array or a vector, holds the nodes of its inputs.
template <class F, class Links>
class FunctionNode final : public Node {
 public:
  template <class Refs>
  FunctionNode(const char* name, const Tensor& output, const Refs& inputs, F&& function)
      : Node(name, output.shape(), output.dtype()), function_(std::move(function)) {
    if constexpr (std::is_same_v<Links, std::vector<NodePtr>>) links_.resize(std::size(inputs));
    for (size_t i = 0; i < std::size(inputs); ++i) links_[i] = inputs[i].node();
    inputs_ = links_;
  }
  void backward(const Var& gy, std::span<Var> out) override {
    if (!function_) throw_released(name());
    (*function_)(gy, Inputs(*this, out));
  }
  void release() override { function_.reset(); }

 private:
  std::optional<F> function_;
  Links links_;
};

template <class Links, class Refs, class F>
Var record(const char* name, Tensor&& output, const Refs& inputs, F&& function) {
  bool needed = false;
  for (const auto& input : inputs) needed = needed || input.requires_grad();
  if (!needed || !recording()) return Var(std::move(output));
  NodePtr node(new FunctionNode<F, Links>(name, output, inputs, std::move(function)));
  return Var(std::move(output), std::move(node));
}
}  // namespace detail

/// `output` as a variable whose gradient is given by `function(gy, Inputs)`; a constant where no input requires a
/// gradient or nothing is being recorded. An input may be undefined.
template <size_t N, class F>
Var record(const char* name, Tensor output, const VarRef (&inputs)[N], F function) {
  return detail::record<std::array<NodePtr, N>>(name, std::move(output), inputs, std::move(function));
}
/// The same for a number of inputs that is known only when it runs.
template <class F>
Var record(const char* name, Tensor output, std::span<const Var> inputs, F function) {
  return detail::record<std::vector<NodePtr>>(name, std::move(output), inputs, std::move(function));
}

}  // namespace gradus
