// What a variable knows of itself: whether it is a leaf, and what arrived there.
#include "autograd/variable.h"

#include <ostream>

#include "autograd/leaf.h"
#include "core/check_defined.h"
#include "core/error.h"
#include "core/ops.h"

namespace gradus {
namespace {

Leaf& leaf_of(const Var& v, const char* op) {
  if (!v.is_leaf())
    fail(ErrorKind::value, op,
         "only a leaf that requires a gradient keeps one; for an intermediate result use on_grad() or grad()");
  return static_cast<Leaf&>(*v.node());
}

}  // namespace

Var Var::leaf(Tensor value) {
  check::defined("leaf", value, "the value");
  if (!is_floating(value.dtype()))
    fail(ErrorKind::dtype, "leaf", "only floating tensors have gradients, got ", value.dtype());
  NodePtr node(new Leaf("leaf", value.shape(), value.dtype()));
  return Var(std::move(value), std::move(node));
}

void Var::set_requires_grad(bool on) const {
  if (!is_leaf())
    fail(ErrorKind::value, "set_requires_grad", "only a leaf can be frozen; cut a graph at a result with detach()");
  static_cast<Leaf&>(*node_).set_wanted(on);
  if (!on) clear_grad();
}
bool Var::is_leaf() const { return node_ && node_->is_leaf(); }
const Tensor& Var::grad() const { return leaf_of(*this, "grad").grad(); }
void Var::set_value(const Tensor& value) const {
  check::defined("set_value", value_, "the variable");
  check::defined("set_value", value);
  if (!(value.shape() == shape()))
    fail(ErrorKind::shape, "set_value", "the variable is ", shape(), ", but its value ", value.shape());
  if (value.dtype() != dtype())
    fail(ErrorKind::dtype, "set_value", "the variable is ", dtype(), ", but its value ", value.dtype());
  Tensor to = value_;
  copy_(to, value);
}

void Var::set_grad(Tensor grad) const {
  Leaf& leaf = leaf_of(*this, "set_grad");
  if (grad.defined()) check_fits("set_grad", "gradient", leaf, grad);
  leaf.set_grad(std::move(grad));
}
void Var::clear_grad() const {
  Leaf& leaf = leaf_of(*this, "clear_grad");
  leaf.set_grad(Tensor());
  leaf.set_curvature(Tensor());
}
const Tensor& Var::curvature() const { return leaf_of(*this, "curvature").curvature(); }
void Var::set_curvature(Tensor curvature) const {
  Leaf& leaf = leaf_of(*this, "set_curvature");
  if (curvature.defined()) check_fits("set_curvature", "curvature", leaf, curvature);
  leaf.set_curvature(std::move(curvature));
}

void Var::on_grad(std::function<Var(const Var&)> hook) const {
  if (!requires_grad()) fail(ErrorKind::value, "on_grad", "this variable does not require a gradient");
  if (!hook) fail(ErrorKind::value, "on_grad", "expects a function, got an empty one");
  node_->hooks().push_back(std::move(hook));
}

std::ostream& operator<<(std::ostream& out, const Var& var) { return out << var.value(); }

}  // namespace gradus
