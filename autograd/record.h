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

#include <initializer_list>
#include <optional>

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
  Node& node() const { return *node_; }

 private:
  Node* node_;
  std::span<Var> out_;
};

/// An input kept for the gradient, with the version of its memory; get() throws if it was changed in place since.
class Saved {
 public:
  explicit Saved(const Var& input) : var_(input), version_(input.defined() ? input.value().version() : 0) {}
  const Var& get(const Inputs& in) const;

 private:
  Var var_;
  uint64_t version_;
};

/// The operation's own result kept for the gradient. It holds no share of the node, so there is no cycle.
class SavedOutput {
 public:
  explicit SavedOutput(const Tensor& output) : value_(output), version_(output.version()) {}
  Var get(const Inputs& in) const;

 private:
  Tensor value_;
  uint64_t version_;
};

namespace detail {
[[noreturn]] void throw_released(const char* name);
/// Whether a node must be recorded for these inputs.
bool must_record(std::span<const Var> inputs);

template <class F>
class FunctionNode final : public Node {
 public:
  FunctionNode(const char* name, const Tensor& output, std::span<const Var> inputs, F&& function)
      : Node(name, output.shape(), output.dtype()), function_(std::move(function)) {
    inputs_.reserve(inputs.size());
    for (const Var& v : inputs) inputs_.push_back(v.node());
  }
  void backward(const Var& gy, std::span<Var> out) override {
    if (!function_) throw_released(name());
    (*function_)(gy, Inputs(*this, out));
  }
  void release() override { function_.reset(); }

 private:
  std::optional<F> function_;
};
}  // namespace detail

/// `output` as a variable whose gradient is given by `function(gy, Inputs)`; a constant where no input requires a
/// gradient or nothing is being recorded.
template <class F>
Var record(const char* name, Tensor output, std::span<const Var> inputs, F function) {
  if (!detail::must_record(inputs)) return Var(std::move(output));
  NodePtr node(new detail::FunctionNode<F>(name, output, inputs, std::move(function)));
  return Var(std::move(output), std::move(node));
}
template <class F>
Var record(const char* name, Tensor output, std::initializer_list<Var> inputs, F function) {
  return record(name, std::move(output), std::span<const Var>(inputs.begin(), inputs.size()), std::move(function));
}

}  // namespace gradus
