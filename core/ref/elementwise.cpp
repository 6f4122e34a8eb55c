// Reference kernels of one output element from the elements at the same position: unary, binary, where, axpby, fill,
// copy.
#include <algorithm>
#include <numbers>

#include "core/kernels.h"
#include "core/ref/loops.h"

namespace gradus::ref {
namespace {

// ---- Scalar functions ----------------------------------------------------------------------------------------------

double sigmoid_of(double x) {
  if (x >= 0) return 1 / (1 + std::exp(-x));
  const double e = std::exp(x);
  return e / (1 + e);
}
/// log(1 + e^x) without overflow.
double softplus_of(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }
double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }
double normal_density(double x) { return std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi); }

template <class W>
W sign_of(W x) {
  return x > 0 ? W{1} : x < 0 ? W{-1} : x;  // keeps NaN
}
// Like the hardware's integers, ours wrap around; the detour keeps that defined.
int64_t wrapping(uint64_t x) { return static_cast<int64_t>(x); }
uint64_t bits(int64_t x) { return static_cast<uint64_t>(x); }

template <class W>
W maximum_of(W a, W b) {
  return a != a || a > b ? a : b;  // NaN wins
}
template <class W>
W minimum_of(W a, W b) {
  return a != a || a < b ? a : b;
}

[[noreturn]] void not_for_integers(std::string_view kernel) {
  fail(ErrorKind::dtype, kernel, "this operation needs floating-point elements, got integers; cast to float32 first");
}

// ---- One function object per operation, chosen outside the loops ---------------------------------------------------

template <class Visit>
void choose_unary(UnaryOp op, double param, double, Visit visit) {
  switch (op) {
    case UnaryOp::neg:
      return visit([](double x) { return -x; });
    case UnaryOp::abs:
      return visit([](double x) { return std::abs(x); });
    case UnaryOp::sign:
      return visit([](double x) { return sign_of(x); });
    case UnaryOp::exp:
      return visit([](double x) { return std::exp(x); });
    case UnaryOp::log:
      return visit([](double x) { return std::log(x); });
    case UnaryOp::sqrt:
      return visit([](double x) { return std::sqrt(x); });
    case UnaryOp::rsqrt:
      return visit([](double x) { return 1 / std::sqrt(x); });
    case UnaryOp::reciprocal:
      return visit([](double x) { return 1 / x; });
    case UnaryOp::square:
      return visit([](double x) { return x * x; });
    case UnaryOp::sin:
      return visit([](double x) { return std::sin(x); });
    case UnaryOp::cos:
      return visit([](double x) { return std::cos(x); });
    case UnaryOp::erf:
      return visit([](double x) { return std::erf(x); });
    case UnaryOp::tanh:
      return visit([](double x) { return std::tanh(x); });
    case UnaryOp::sigmoid:
      return visit(sigmoid_of);
    case UnaryOp::softplus:
      return visit(softplus_of);
    case UnaryOp::relu:
      return visit([](double x) { return x < 0 ? 0 : x; });  // keeps NaN
    case UnaryOp::leaky_relu:
      return visit([param](double x) { return x > 0 ? x : param * x; });
    case UnaryOp::gelu:
      return visit([](double x) { return x * normal_cdf(x); });
    case UnaryOp::logical_not:
      return visit([](double x) { return x == 0 ? 1.0 : 0.0; });
  }
}

template <class Visit>
void choose_unary(UnaryOp op, double, int64_t, Visit visit) {
  switch (op) {
    case UnaryOp::neg:
      return visit([](int64_t x) { return wrapping(-bits(x)); });
    case UnaryOp::abs:
      return visit([](int64_t x) { return x < 0 ? wrapping(-bits(x)) : x; });
    case UnaryOp::sign:
      return visit([](int64_t x) { return sign_of(x); });
    case UnaryOp::square:
      return visit([](int64_t x) { return wrapping(bits(x) * bits(x)); });
    case UnaryOp::relu:
      return visit([](int64_t x) { return std::max<int64_t>(x, 0); });
    case UnaryOp::logical_not:
      return visit([](int64_t x) { return int64_t{x == 0}; });
    default:
      not_for_integers("unary");
  }
}

template <class Visit>
void choose_binary(BinaryOp op, double param, double, Visit visit) {
  switch (op) {
    case BinaryOp::add:
      return visit([](double a, double b) { return a + b; });
    case BinaryOp::sub:
      return visit([](double a, double b) { return a - b; });
    case BinaryOp::mul:
      return visit([](double a, double b) { return a * b; });
    case BinaryOp::div:
      return visit([](double a, double b) { return a / b; });
    case BinaryOp::pow:
      return visit([](double a, double b) { return std::pow(a, b); });
    case BinaryOp::maximum:
      return visit([](double a, double b) { return maximum_of(a, b); });
    case BinaryOp::minimum:
      return visit([](double a, double b) { return minimum_of(a, b); });
    case BinaryOp::eq:
      return visit([](double a, double b) { return double(a == b); });
    case BinaryOp::ne:
      return visit([](double a, double b) { return double(a != b); });
    case BinaryOp::lt:
      return visit([](double a, double b) { return double(a < b); });
    case BinaryOp::le:
      return visit([](double a, double b) { return double(a <= b); });
    case BinaryOp::gt:
      return visit([](double a, double b) { return double(a > b); });
    case BinaryOp::ge:
      return visit([](double a, double b) { return double(a >= b); });
    case BinaryOp::logical_and:
      return visit([](double a, double b) { return double(a != 0 && b != 0); });
    case BinaryOp::logical_or:
      return visit([](double a, double b) { return double(a != 0 || b != 0); });
    case BinaryOp::relu_grad:
      return visit([](double gy, double y) { return y > 0 ? gy : 0; });
    case BinaryOp::tanh_grad:
      return visit([](double gy, double y) { return gy * (1 - y * y); });
    case BinaryOp::sigmoid_grad:
      return visit([](double gy, double y) { return gy * y * (1 - y); });
    case BinaryOp::leaky_relu_grad:
      return visit([param](double gy, double x) { return x > 0 ? gy : param * gy; });
    case BinaryOp::gelu_grad:
      return visit([](double gy, double x) { return gy * (normal_cdf(x) + x * normal_density(x)); });
    case BinaryOp::softplus_grad:
      return visit([](double gy, double x) { return gy * sigmoid_of(x); });
  }
}

template <class Visit>
void choose_binary(BinaryOp op, double, int64_t, Visit visit) {
  switch (op) {
    case BinaryOp::add:
      return visit([](int64_t a, int64_t b) { return wrapping(bits(a) + bits(b)); });
    case BinaryOp::sub:
      return visit([](int64_t a, int64_t b) { return wrapping(bits(a) - bits(b)); });
    case BinaryOp::mul:
      return visit([](int64_t a, int64_t b) { return wrapping(bits(a) * bits(b)); });
    case BinaryOp::maximum:
      return visit([](int64_t a, int64_t b) { return maximum_of(a, b); });
    case BinaryOp::minimum:
      return visit([](int64_t a, int64_t b) { return minimum_of(a, b); });
    case BinaryOp::eq:
      return visit([](int64_t a, int64_t b) { return int64_t{a == b}; });
    case BinaryOp::ne:
      return visit([](int64_t a, int64_t b) { return int64_t{a != b}; });
    case BinaryOp::lt:
      return visit([](int64_t a, int64_t b) { return int64_t{a < b}; });
    case BinaryOp::le:
      return visit([](int64_t a, int64_t b) { return int64_t{a <= b}; });
    case BinaryOp::gt:
      return visit([](int64_t a, int64_t b) { return int64_t{a > b}; });
    case BinaryOp::ge:
      return visit([](int64_t a, int64_t b) { return int64_t{a >= b}; });
    case BinaryOp::logical_and:
      return visit([](int64_t a, int64_t b) { return int64_t{a != 0 && b != 0}; });
    case BinaryOp::logical_or:
      return visit([](int64_t a, int64_t b) { return int64_t{a != 0 || b != 0}; });
    default:
      not_for_integers("binary");
  }
}

// ---- Walks ---------------------------------------------------------------------------------------------------------

template <class T, class Out, class F>
void map(const Tensor& x, Tensor& out, F f) {
  const T* from = pointer<T>(x);
  Out* to = pointer<Out>(out);
  for_each_element<2>(out.shape(), {x.strides(), out.strides()},
                      [&](const Offsets<2>& at) { to[at[1]] = narrow<Out>(f(widen(from[at[0]]))); });
}

template <class T, class Out, class F>
void map(const Tensor& a, const Tensor& b, Tensor& out, F f) {
  const T *left = pointer<T>(a), *right = pointer<T>(b);
  Out* to = pointer<Out>(out);
  for_each_element<3>(out.shape(), {a.strides(), b.strides(), out.strides()}, [&](const Offsets<3>& at) {
    to[at[2]] = narrow<Out>(f(widen(left[at[0]]), widen(right[at[1]])));
  });
}

/// Calls body(T(), Out()) for outputs that are bool or have the input's type.
template <class Body>
void visit_in_out(const Tensor& in, const Tensor& out, Body body) {
  visit_any(in.dtype(),
            [&]<class T>(T element) { out.dtype() == DType::boolean ? body(element, bool()) : body(element, T()); });
}

}  // namespace

void unary(UnaryOp op, const Tensor& x, Tensor& out, double param) {
  visit_in_out(x, out, [&]<class T, class Out>(T, Out) {
    choose_unary(op, param, Wide<T>(), [&](auto f) { map<T, Out>(x, out, f); });
  });
}

void binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& out, double param) {
  visit_in_out(a, out, [&]<class T, class Out>(T, Out) {
    choose_binary(op, param, Wide<T>(), [&](auto f) { map<T, Out>(a, b, out, f); });
  });
}

void binary_scalar(BinaryOp op, const Tensor& a, double b, Tensor& out) {
  visit_in_out(a, out, [&]<class T, class Out>(T, Out) {
    const auto scalar = narrow<Wide<T>>(b);
    choose_binary(op, 0, Wide<T>(),
                  [&](auto f) { map<T, Out>(a, out, [f, scalar](Wide<T> x) { return f(x, scalar); }); });
  });
}

void scalar_binary(BinaryOp op, double a, const Tensor& b, Tensor& out) {
  visit_in_out(b, out, [&]<class T, class Out>(T, Out) {
    const auto scalar = narrow<Wide<T>>(a);
    choose_binary(op, 0, Wide<T>(),
                  [&](auto f) { map<T, Out>(b, out, [f, scalar](Wide<T> x) { return f(scalar, x); }); });
  });
}

void where(const Tensor& condition, const Tensor& a, const Tensor& b, Tensor& out) {
  visit_any(out.dtype(), [&]<class T>(T) {
    const bool* choose = pointer<bool>(condition);
    const T *left = pointer<T>(a), *right = pointer<T>(b);
    T* to = pointer<T>(out);
    for_each_element<4>(out.shape(), {condition.strides(), a.strides(), b.strides(), out.strides()},
                        [&](const Offsets<4>& at) { to[at[3]] = choose[at[0]] ? left[at[1]] : right[at[2]]; });
  });
}

void axpby(double alpha, const Tensor& x, double beta, Tensor& y) {
  visit_any(y.dtype(), [&]<class T>(T) {
    const T* from = pointer<T>(x);
    T* to = pointer<T>(y);
    for_each_element<2>(y.shape(), {x.strides(), y.strides()}, [&](const Offsets<2>& at) {
      const double product = alpha * static_cast<double>(widen(from[at[0]]));
      to[at[1]] = narrow<T>(beta == 0 ? product : product + beta * static_cast<double>(widen(to[at[1]])));
    });
  });
}

void fill(double value, Tensor& out) {
  visit_any(out.dtype(), [&]<class T>(T) {
    const T element = narrow<T>(value);
    T* to = pointer<T>(out);
    for_each_element<1>(out.shape(), {out.strides()}, [&](const Offsets<1>& at) { to[at[0]] = element; });
  });
}

void copy(const Tensor& x, Tensor& out) {
  visit_any(x.dtype(), [&]<class T>(T) {
    visit_any(out.dtype(), [&]<class Out>(Out) { map<T, Out>(x, out, [](Wide<T> value) { return value; }); });
  });
}

}  // namespace gradus::ref
