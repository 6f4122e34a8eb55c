// The nodes at which the tape ends: a leaf keeps the gradient, and the curvature, that arrives. Not public.
#pragma once

#include <span>
#include <utility>

#include "autograd/node.h"
#include "autograd/variable.h"
#include "core/error.h"
#include "core/ops.h"

namespace gradus {

/// The end of the tape: keeps what arrives.
class Leaf final : public Node {
 public:
  using Node::Node;
  void backward(const Var&, std::span<Var>) override {}
  bool backward(const Var&, std::span<Var>, const Curvature&) override { return true; }
  void release() override {}
  bool is_leaf() const override { return true; }
  void set_wanted(bool on) { wanted_ = on; }

  void accumulate(const Tensor& more) {
    if (!grad_.defined()) {
      grad_ = more;
      owned_ = false;
    } else if (owned_ && grad_.storage().unique()) {
      add_(grad_, more);
    } else {
      grad_ = grad_ + more;
      owned_ = true;
    }
  }
  void accumulate_curvature(const Tensor& more) { curvature_ = curvature_.defined() ? curvature_ + more : more; }
  const Tensor& grad() const { return grad_; }
  void set_grad(Tensor grad) {
    grad_ = std::move(grad);
    owned_ = false;
  }
  const Tensor& curvature() const { return curvature_; }
  void set_curvature(Tensor curvature) { curvature_ = std::move(curvature); }

 private:
  Tensor grad_, curvature_;
  bool owned_ = false;  ///< made here, so that nobody else sees it change
};

/// That `x` can be the gradient, or the curvature, of the node's output.
template <class T>
void check_fits(const char* op, const char* what, const Node& node, const T& x) {
  if (!(x.shape() == node.shape()))
    fail(ErrorKind::shape, op, "the ", what, " of '", node.name(), "' must have its shape ", node.shape(), ", got ",
         x.shape());
  if (x.dtype() != node.dtype())
    fail(ErrorKind::dtype, op, "the ", what, " of '", node.name(), "' must be ", node.dtype(), ", got ", x.dtype());
}

}  // namespace gradus
