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
//
// A gradient says more where it can, so that the sweep of autograd/curvature.h passes the operation: selects(),
// scales() and multilinear() say what kind of derivatives it multiplies with, and any other rule is a third argument,
// Curvature.
#pragma once

#include <array>
#include <forward_list>
#include <optional>
#include <type_traits>
#include <vector>

#include "autograd/curvature.h"
#include "autograd/node.h"
#include "autograd/trace.h"
#include "autograd/variable.h"

namespace gradus {

/// Where a gradient function puts its results: in[i] for input i, to be left undefined where needs(i) is false.
class Inputs {
 public:
  Inputs(Node& node, std::span<Var> out) : node_(&node), out_(out) {}
  /// Saved inputs come as their squares, which `squares` keeps.
  Inputs(Node& node, std::span<Var> out, std::forward_list<Var>& squares)
      : node_(&node), out_(out), squares_(&squares) {}
  Var& operator[](size_t i) const { return out_[i]; }
  size_t size() const { return out_.size(); }
  bool needs(size_t i) const { return node_->needs_grad(i); }
  /// Of input i, known only where needs(i).
  const Shape& shape(size_t i) const { return node_->inputs()[i]->shape(); }
  DType dtype(size_t i) const { return node_->inputs()[i]->dtype(); }
  Node& node() const { return *node_; }
  /// Whether saved inputs come as their squares.
  bool squared() const { return squares_ != nullptr; }

 private:
  friend class Saved;
  Node* node_;
  std::span<Var> out_;
  std::forward_list<Var>* squares_ = nullptr;
};

/// An input kept for the gradient, with the version of its memory; get() throws if it was changed in place since.
class Saved {
 public:
  explicit Saved(const Var& input) : var_(input), version_(input.defined() ? input.value().version() : 0) {}
  /// Keeps nothing unless `needed`, which is usually whether the other operand requires a gradient.
  Saved(const Var& input, bool needed) : Saved(needed ? input : none()) {}
  const Var& get(const Inputs& in) const;
  /// The input itself, also where get() gives its square.
  const Var& plain(const Inputs& in) const;
  /// Whether it is a constant that is this very tensor, unchanged since it was saved.
  bool is(const Tensor& tensor) const;

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

/// What a rule for curvature gets beside the gradient: hy, an estimate of the diagonal of the loss's Hessian with
/// respect to the output, and where it puts those of the inputs. False in a plain walk. With J the derivative of the
/// output, hx = (J^2)^T hy + sum over outputs of gy d^2y/dx^2, squares elementwise; the second term is left out of
/// functions that are no losses where bends() is false.
class Curvature {
 public:
  Curvature() = default;
  Curvature(const Var& hy, std::span<Var> out, CurvatureMethod method) : hy_(&hy), out_(out), method_(method) {}
  explicit operator bool() const { return hy_ != nullptr; }

  const Var& y() const { return *hy_; }
  /// For input i: to be filled where the gradient is.
  Var& operator[](size_t i) const { return out_[i]; }
  std::span<Var> out() const { return out_; }
  bool bends() const { return method_ != CurvatureMethod::hesscale_gn; }
  /// Becker and LeCun: a softmax counts as a function of each element.
  bool elementwise_softmax() const { return method_ == CurvatureMethod::bl89; }

 private:
  const Var* hy_ = nullptr;
  std::span<Var> out_;
  CurvatureMethod method_ = CurvatureMethod::hesscale;
};

/// The gradient of an operation whose derivatives are all 0 or 1 (reshape, relu): it passes curvature as it is.
template <class F>
auto selects(F gradient) {
  return [gradient = std::move(gradient)](const Var& gy, Inputs in, Curvature h) {
    gradient(gy, in);
    if (h) gradient(h.y(), Inputs(in.node(), h.out()));
  };
}
/// The same for an operation that takes a part of its only input (slice, embedding). What in[0] holds already is a sum
/// that nobody else sees, and `gradient` adds to it in place, so that the gradients of many parts of one tensor take
/// the time of the parts; undefined, it is begun with zeros. Under create_graph it is always undefined.
template <class F>
struct SelectsPart {
  static constexpr bool adds = true;
  void operator()(const Var& gy, Inputs in, Curvature h) const {
    gradient(gy, in);
    if (h) gradient(h.y(), Inputs(in.node(), h.out()));
  }
  F gradient;
};
template <class F>
SelectsPart<F> selects_part(F gradient) {
  return {std::move(gradient)};
}
/// That of an operation of one input that multiplies each element with a constant (negation, dropout): it is applied
/// twice.
template <class F>
auto scales(F gradient) {
  return [gradient = std::move(gradient)](const Var& gy, Inputs in, Curvature h) {
    gradient(gy, in);
    if (!h) return;
    gradient(h.y(), Inputs(in.node(), h.out()));
    const Var once = h[0];
    gradient(once, Inputs(in.node(), h.out()));
  };
}
/// That of an operation each of whose derivatives is one element of a saved input, or 0 or 1 (products, convolution):
/// it passes curvature when it sees the saved inputs squared.
template <class F>
auto multilinear(F gradient) {
  return [gradient = std::move(gradient)](const Var& gy, Inputs in, Curvature h) {
    gradient(gy, in);
    if (!h) return;
    std::forward_list<Var> squares;
    gradient(h.y(), Inputs(in.node(), h.out(), squares));
  };
}

/// A variable in the list of inputs given to record().
class VarRef {
 public:
  VarRef(const Var& var) : var_(&var) {}  // NOLINT(google-explicit-constructor)
  const NodePtr& node() const { return var_->node(); }
  bool requires_grad() const { return var_->requires_grad(); }
  const Var& var() const { return *var_; }

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
    for (size_t i = 0; i < std::size(inputs); ++i)
      if (inputs[i].requires_grad()) links_[i] = inputs[i].node();
    inputs_ = links_;
    adds_ = requires { F::adds; };
  }
  void backward(const Var& gy, std::span<Var> out) override {
    if (!function_) throw_released(name());
    if constexpr (has_rule)
      (*function_)(gy, Inputs(*this, out), Curvature());
    else
      (*function_)(gy, Inputs(*this, out));
  }
  bool backward(const Var& gy, std::span<Var> out, const Curvature& h) override {
    if (!function_) throw_released(name());
    if constexpr (has_rule) (*function_)(gy, Inputs(*this, out), h);
    return has_rule;
  }
  void release() override { function_.reset(); }

 private:
  static constexpr bool has_rule = std::is_invocable_v<F&, const Var&, Inputs, Curvature>;
  std::optional<F> function_;
  Links links_;
};

template <class Links, class Refs, class F, class Describe>
Var record(const char* name, Tensor&& output, const Refs& inputs, F&& function, const Describe& describe) {
  bool needed = false;
  for (const auto& input : inputs) needed = needed || input.requires_grad();
  if (!needed || !recording()) return Var(std::move(output));
  NodePtr node(new FunctionNode<F, Links>(name, output, inputs, std::move(function)));
  Var y(std::move(output), std::move(node));
  if (tracing()) {
    std::vector<Var> vars;
    for (const VarRef input : inputs) vars.push_back(input.var());
    trace({name, vars, y, describe()});
  }
  return y;
}

struct NoAttributes {
  Attributes operator()() const { return {}; }
};
}  // namespace detail

/// `output` as a variable whose gradient is given by `function(gy, Inputs)`, and with a third argument, a Curvature,
/// also its curvature; a constant where no input requires a gradient or nothing is being recorded. An input may be
/// undefined. `describe` returns the Attributes that a Tracer sees.
template <size_t N, class F, class Describe = detail::NoAttributes>
Var record(const char* name, Tensor output, const VarRef (&inputs)[N], F function, const Describe& describe = {}) {
  return detail::record<std::array<NodePtr, N>>(name, std::move(output), inputs, std::move(function), describe);
}
/// The same for a number of inputs that is known only when it runs.
template <class F, class Describe = detail::NoAttributes>
Var record(const char* name, Tensor output, std::span<const Var> inputs, F function, const Describe& describe = {}) {
  return detail::record<std::vector<NodePtr>>(name, std::move(output), inputs, std::move(function), describe);
}

}  // namespace gradus
