// Elementwise operations: check, broadcast, allocate in the memory order of the operands, one kernel call.
#include "core/error.h"
#include "core/ops.h"
#include "core/ops_check.h"

namespace gradus {
namespace {

/// Whether an output of this shape may take over x's memory order.
bool sets_order(const Tensor& x, const Shape& shape) { return x.shape() == shape && x.is_dense(); }

}  // namespace

Tensor unary(UnaryOp op, const Tensor& x, double param) {
  check::unary(op, x);
  Tensor out = Tensor::empty_like(x);
  kernels::unary(op, x, out, param);
  return out;
}

Tensor neg(const Tensor& x) { return unary(UnaryOp::neg, x); }
Tensor abs(const Tensor& x) { return unary(UnaryOp::abs, x); }
Tensor sign(const Tensor& x) { return unary(UnaryOp::sign, x); }
Tensor exp(const Tensor& x) { return unary(UnaryOp::exp, x); }
Tensor log(const Tensor& x) { return unary(UnaryOp::log, x); }
Tensor sqrt(const Tensor& x) { return unary(UnaryOp::sqrt, x); }
Tensor rsqrt(const Tensor& x) { return unary(UnaryOp::rsqrt, x); }
Tensor reciprocal(const Tensor& x) { return unary(UnaryOp::reciprocal, x); }
Tensor square(const Tensor& x) { return unary(UnaryOp::square, x); }
Tensor sin(const Tensor& x) { return unary(UnaryOp::sin, x); }
Tensor cos(const Tensor& x) { return unary(UnaryOp::cos, x); }
Tensor erf(const Tensor& x) { return unary(UnaryOp::erf, x); }
Tensor tanh(const Tensor& x) { return unary(UnaryOp::tanh, x); }
Tensor sigmoid(const Tensor& x) { return unary(UnaryOp::sigmoid, x); }
Tensor softplus(const Tensor& x) { return unary(UnaryOp::softplus, x); }
Tensor relu(const Tensor& x) { return unary(UnaryOp::relu, x); }
Tensor leaky_relu(const Tensor& x, double slope) { return unary(UnaryOp::leaky_relu, x, slope); }
Tensor gelu(const Tensor& x) { return unary(UnaryOp::gelu, x); }
Tensor silu(const Tensor& x) { return unary(UnaryOp::silu, x); }
Tensor logical_not(const Tensor& x) { return unary(UnaryOp::logical_not, x); }

Tensor binary(BinaryOp op, const Tensor& a, const Tensor& b, double param) {
  const DType dtype = check::binary(op, a, b);
  if (a.shape() == b.shape()) {
    Tensor out = Tensor::empty_like(a.is_dense() ? a : b, dtype);
    kernels::binary(op, a, b, out, param);
    return out;
  }
  const Shape shape = broadcast(check::name(op), a.shape(), b.shape());
  Tensor out = sets_order(a, shape)   ? Tensor::empty_like(a, dtype)
               : sets_order(b, shape) ? Tensor::empty_like(b, dtype)
                                      : Tensor::empty(shape, dtype);
  kernels::binary(op, expand(a, shape), expand(b, shape), out, param);
  return out;
}

Tensor binary(BinaryOp op, const Tensor& a, double b) {
  const DType dtype = check::binary(op, a);
  check::scalar(check::name(op), a.dtype(), b);
  Tensor out = Tensor::empty_like(a, dtype);
  kernels::binary_scalar(op, a, b, out);
  return out;
}

Tensor binary(BinaryOp op, double a, const Tensor& b) {
  const DType dtype = check::binary(op, b);
  check::scalar(check::name(op), b.dtype(), a);
  Tensor out = Tensor::empty_like(b, dtype);
  kernels::scalar_binary(op, a, b, out);
  return out;
}

Tensor operator-(const Tensor& x) { return unary(UnaryOp::neg, x); }
Tensor operator+(const Tensor& a, const Tensor& b) { return binary(BinaryOp::add, a, b); }
Tensor operator-(const Tensor& a, const Tensor& b) { return binary(BinaryOp::sub, a, b); }
Tensor operator*(const Tensor& a, const Tensor& b) { return binary(BinaryOp::mul, a, b); }
Tensor operator/(const Tensor& a, const Tensor& b) { return binary(BinaryOp::div, a, b); }
Tensor operator+(const Tensor& a, double b) { return binary(BinaryOp::add, a, b); }
Tensor operator-(const Tensor& a, double b) { return binary(BinaryOp::sub, a, b); }
Tensor operator*(const Tensor& a, double b) { return binary(BinaryOp::mul, a, b); }
Tensor operator/(const Tensor& a, double b) { return binary(BinaryOp::div, a, b); }
Tensor operator+(double a, const Tensor& b) { return binary(BinaryOp::add, a, b); }
Tensor operator-(double a, const Tensor& b) { return binary(BinaryOp::sub, a, b); }
Tensor operator*(double a, const Tensor& b) { return binary(BinaryOp::mul, a, b); }
Tensor operator/(double a, const Tensor& b) { return binary(BinaryOp::div, a, b); }
Tensor pow(const Tensor& a, const Tensor& b) { return binary(BinaryOp::pow, a, b); }
Tensor pow(const Tensor& a, double b) { return binary(BinaryOp::pow, a, b); }
Tensor maximum(const Tensor& a, const Tensor& b) { return binary(BinaryOp::maximum, a, b); }
Tensor minimum(const Tensor& a, const Tensor& b) { return binary(BinaryOp::minimum, a, b); }
Tensor maximum(const Tensor& a, double b) { return binary(BinaryOp::maximum, a, b); }
Tensor minimum(const Tensor& a, double b) { return binary(BinaryOp::minimum, a, b); }

Tensor clamp(const Tensor& x, double low, double high) {
  if (!(low <= high)) fail(ErrorKind::value, "clamp", "needs low <= high, got [", low, ", ", high, "]");
  check::binary(BinaryOp::maximum, x);  // what has an order
  check::scalar("clamp", x.dtype(), low);
  check::scalar("clamp", x.dtype(), high);
  Tensor out = Tensor::empty_like(x);
  kernels::clamp(x, low, high, out);
  return out;
}

Tensor clamp_grad(const Tensor& gy, const Tensor& x, double low, double high) {
  check::activation("clamp_grad", x);
  check::shape("clamp_grad", "the gradient", gy, x.shape());
  check::same_dtype("clamp_grad", gy, x);
  Tensor gx = Tensor::empty_like(x);
  kernels::clamp_grad(gy, x, low, high, gx);
  return gx;
}

Tensor equal(const Tensor& a, const Tensor& b) { return binary(BinaryOp::eq, a, b); }
Tensor not_equal(const Tensor& a, const Tensor& b) { return binary(BinaryOp::ne, a, b); }
Tensor less(const Tensor& a, const Tensor& b) { return binary(BinaryOp::lt, a, b); }
Tensor less_equal(const Tensor& a, const Tensor& b) { return binary(BinaryOp::le, a, b); }
Tensor greater(const Tensor& a, const Tensor& b) { return binary(BinaryOp::gt, a, b); }
Tensor greater_equal(const Tensor& a, const Tensor& b) { return binary(BinaryOp::ge, a, b); }
Tensor equal(const Tensor& a, double b) { return binary(BinaryOp::eq, a, b); }
Tensor not_equal(const Tensor& a, double b) { return binary(BinaryOp::ne, a, b); }
Tensor less(const Tensor& a, double b) { return binary(BinaryOp::lt, a, b); }
Tensor less_equal(const Tensor& a, double b) { return binary(BinaryOp::le, a, b); }
Tensor greater(const Tensor& a, double b) { return binary(BinaryOp::gt, a, b); }
Tensor greater_equal(const Tensor& a, double b) { return binary(BinaryOp::ge, a, b); }
Tensor logical_and(const Tensor& a, const Tensor& b) { return binary(BinaryOp::logical_and, a, b); }
Tensor logical_or(const Tensor& a, const Tensor& b) { return binary(BinaryOp::logical_or, a, b); }

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  check::defined("where", condition, "the condition");
  check::defined("where", a, "the first choice");
  check::defined("where", b, "the second choice");
  check::same_dtype("where", a, b);
  if (condition.dtype() != DType::boolean)
    fail(ErrorKind::dtype, "where", "the condition needs bool, got ", condition.dtype(), " ", condition.shape(),
         "; make it with a comparison such as greater(x, 0)");
  const Shape shape = broadcast("where", broadcast("where", a.shape(), b.shape()), condition.shape());
  Tensor out = sets_order(a, shape)           ? Tensor::empty_like(a)
               : sets_order(b, shape)         ? Tensor::empty_like(b)
               : sets_order(condition, shape) ? Tensor::empty_like(condition, a.dtype())
                                              : Tensor::empty(shape, a.dtype());
  kernels::where(expand(condition, shape), expand(a, shape), expand(b, shape), out);
  return out;
}

namespace {

/// A number beside the other choice.
Tensor choice(double value, const Tensor& other) {
  check::defined("where", other, "the other choice");
  check::scalar("where", other.dtype(), value);
  return Tensor::full({}, value, other.dtype());
}

}  // namespace

Tensor where(const Tensor& condition, const Tensor& a, double b) { return where(condition, a, choice(b, a)); }
Tensor where(const Tensor& condition, double a, const Tensor& b) { return where(condition, choice(a, b), b); }

}  // namespace gradus
