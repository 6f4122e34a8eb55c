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

// ---- The function of an operation, chosen outside the loops --------------------------------------------------------
// Plain pointers: one loop per pair of element types serves all operations, where a loop for each would cost a minute
// of compilation.

template <class W>
using Unary = W (*)(W x, double param);
template <class W>
using Binary = W (*)(W a, W b, double param);

Unary<double> choose_unary(UnaryOp op, double) {
  switch (op) {
    case UnaryOp::neg: return [](double x, double) -> double { return -x; };
    case UnaryOp::abs: return [](double x, double) -> double { return std::abs(x); };
    case UnaryOp::sign: return [](double x, double) -> double { return sign_of(x); };
    case UnaryOp::exp: return [](double x, double) -> double { return std::exp(x); };
    case UnaryOp::log: return [](double x, double) -> double { return std::log(x); };
    case UnaryOp::sqrt: return [](double x, double) -> double { return std::sqrt(x); };
    case UnaryOp::rsqrt: return [](double x, double) -> double { return 1 / std::sqrt(x); };
    case UnaryOp::reciprocal: return [](double x, double) -> double { return 1 / x; };
    case UnaryOp::square: return [](double x, double) -> double { return x * x; };
    case UnaryOp::sin: return [](double x, double) -> double { return std::sin(x); };
    case UnaryOp::cos: return [](double x, double) -> double { return std::cos(x); };
    case UnaryOp::erf: return [](double x, double) -> double { return std::erf(x); };
    case UnaryOp::tanh: return [](double x, double) -> double { return std::tanh(x); };
    case UnaryOp::sigmoid: return [](double x, double) -> double { return sigmoid_of(x); };
    case UnaryOp::softplus: return [](double x, double) -> double { return softplus_of(x); };
    case UnaryOp::relu: return [](double x, double) -> double { return x < 0 ? 0 : x; };  // keeps NaN
    case UnaryOp::leaky_relu: return [](double x, double param) -> double { return x > 0 ? x : param * x; };
    case UnaryOp::gelu: return [](double x, double) -> double { return x * normal_cdf(x); };
    case UnaryOp::silu: return [](double x, double) -> double { return x * sigmoid_of(x); };
    case UnaryOp::logical_not: return [](double x, double) -> double { return x == 0 ? 1.0 : 0.0; };
  }
  return nullptr;
}

Unary<int64_t> choose_unary(UnaryOp op, int64_t) {
  switch (op) {
    case UnaryOp::neg: return [](int64_t x, double) -> int64_t { return wrapping(-bits(x)); };
    case UnaryOp::abs: return [](int64_t x, double) -> int64_t { return x < 0 ? wrapping(-bits(x)) : x; };
    case UnaryOp::sign: return [](int64_t x, double) -> int64_t { return sign_of(x); };
    case UnaryOp::square: return [](int64_t x, double) -> int64_t { return wrapping(bits(x) * bits(x)); };
    case UnaryOp::relu: return [](int64_t x, double) -> int64_t { return std::max<int64_t>(x, 0); };
    case UnaryOp::logical_not: return [](int64_t x, double) -> int64_t { return int64_t{x == 0}; };
    default: not_for_integers("unary");
  }
}

Binary<double> choose_binary(BinaryOp op, double) {
  switch (op) {
    case BinaryOp::add: return [](double a, double b, double) -> double { return a + b; };
    case BinaryOp::sub: return [](double a, double b, double) -> double { return a - b; };
    case BinaryOp::mul: return [](double a, double b, double) -> double { return a * b; };
    case BinaryOp::div: return [](double a, double b, double) -> double { return a / b; };
    case BinaryOp::pow: return [](double a, double b, double) -> double { return std::pow(a, b); };
    case BinaryOp::maximum: return [](double a, double b, double) -> double { return maximum_of(a, b); };
    case BinaryOp::minimum: return [](double a, double b, double) -> double { return minimum_of(a, b); };
    case BinaryOp::eq: return [](double a, double b, double) -> double { return double(a == b); };
    case BinaryOp::ne: return [](double a, double b, double) -> double { return double(a != b); };
    case BinaryOp::lt: return [](double a, double b, double) -> double { return double(a < b); };
    case BinaryOp::le: return [](double a, double b, double) -> double { return double(a <= b); };
    case BinaryOp::gt: return [](double a, double b, double) -> double { return double(a > b); };
    case BinaryOp::ge: return [](double a, double b, double) -> double { return double(a >= b); };
    case BinaryOp::logical_and: return [](double a, double b, double) -> double { return double(a != 0 && b != 0); };
    case BinaryOp::logical_or: return [](double a, double b, double) -> double { return double(a != 0 || b != 0); };
    case BinaryOp::relu_grad: return [](double gy, double y, double) -> double { return y > 0 ? gy : 0; };
    case BinaryOp::tanh_grad: return [](double gy, double y, double) -> double { return gy * (1 - y * y); };
    case BinaryOp::sigmoid_grad: return [](double gy, double y, double) -> double { return gy * y * (1 - y); };
    case BinaryOp::leaky_relu_grad:
      return [](double gy, double x, double param) -> double { return x > 0 ? gy : param * gy; };
    case BinaryOp::gelu_grad:
      return [](double gy, double x, double) -> double { return gy * (normal_cdf(x) + x * normal_density(x)); };
    case BinaryOp::softplus_grad: return [](double gy, double x, double) -> double { return gy * sigmoid_of(x); };
    case BinaryOp::silu_grad:
      return [](double gy, double x, double) -> double {
        return gy * (sigmoid_of(x) + x * sigmoid_of(x) * sigmoid_of(-x));
      };
  }
  return nullptr;
}

Binary<int64_t> choose_binary(BinaryOp op, int64_t) {
  switch (op) {
    case BinaryOp::add: return [](int64_t a, int64_t b, double) -> int64_t { return wrapping(bits(a) + bits(b)); };
    case BinaryOp::sub: return [](int64_t a, int64_t b, double) -> int64_t { return wrapping(bits(a) - bits(b)); };
    case BinaryOp::mul: return [](int64_t a, int64_t b, double) -> int64_t { return wrapping(bits(a) * bits(b)); };
    case BinaryOp::maximum: return [](int64_t a, int64_t b, double) -> int64_t { return maximum_of(a, b); };
    case BinaryOp::minimum: return [](int64_t a, int64_t b, double) -> int64_t { return minimum_of(a, b); };
    case BinaryOp::eq: return [](int64_t a, int64_t b, double) -> int64_t { return int64_t{a == b}; };
    case BinaryOp::ne: return [](int64_t a, int64_t b, double) -> int64_t { return int64_t{a != b}; };
    case BinaryOp::lt: return [](int64_t a, int64_t b, double) -> int64_t { return int64_t{a < b}; };
    case BinaryOp::le: return [](int64_t a, int64_t b, double) -> int64_t { return int64_t{a <= b}; };
    case BinaryOp::gt: return [](int64_t a, int64_t b, double) -> int64_t { return int64_t{a > b}; };
    case BinaryOp::ge: return [](int64_t a, int64_t b, double) -> int64_t { return int64_t{a >= b}; };
    case BinaryOp::logical_and:
      return [](int64_t a, int64_t b, double) -> int64_t { return int64_t{a != 0 && b != 0}; };
    case BinaryOp::logical_or: return [](int64_t a, int64_t b, double) -> int64_t { return int64_t{a != 0 || b != 0}; };
    default: not_for_integers("binary");
  }
}

// ---- Walks ---------------------------------------------------------------------------------------------------------

template <class T, class Out, class F>
void map(const Tensor& x, Tensor& out, F f) {
  const T* from = pointer<T>(x);
  Out* to = pointer<Out>(out);
  for_each_run<2>(out.shape(), {x.strides(), out.strides()},
                  [&](const Offsets<2>& at, const Offsets<2>& step, int64_t count) {
                    for (int64_t i = 0; i < count; ++i)
                      to[at[1] + i * step[1]] = narrow<Out>(f(widen(from[at[0] + i * step[0]])));
                  });
}

template <class T, class Out>
void map(const Tensor& a, const Tensor& b, Tensor& out, Binary<Wide<T>> f, double param) {
  const T *left = pointer<T>(a), *right = pointer<T>(b);
  Out* to = pointer<Out>(out);
  for_each_run<3>(out.shape(), {a.strides(), b.strides(), out.strides()},
                  [&](const Offsets<3>& at, const Offsets<3>& step, int64_t count) {
                    for (int64_t i = 0; i < count; ++i)
                      to[at[2] + i * step[2]] =
                          narrow<Out>(f(widen(left[at[0] + i * step[0]]), widen(right[at[1] + i * step[1]]), param));
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
    const auto f = choose_unary(op, Wide<T>());
    map<T, Out>(x, out, [f, param](Wide<T> value) { return f(value, param); });
  });
}

void binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& out, double param) {
  visit_in_out(a, out,
               [&]<class T, class Out>(T, Out) { map<T, Out>(a, b, out, choose_binary(op, Wide<T>()), param); });
}

void binary_scalar(BinaryOp op, const Tensor& a, double b, Tensor& out) {
  visit_in_out(a, out, [&]<class T, class Out>(T, Out) {
    const auto scalar = narrow<Wide<T>>(b);
    const auto f = choose_binary(op, Wide<T>());
    map<T, Out>(a, out, [f, scalar](Wide<T> x) { return f(x, scalar, 0); });
  });
}

void scalar_binary(BinaryOp op, double a, const Tensor& b, Tensor& out) {
  visit_in_out(b, out, [&]<class T, class Out>(T, Out) {
    const auto scalar = narrow<Wide<T>>(a);
    const auto f = choose_binary(op, Wide<T>());
    map<T, Out>(b, out, [f, scalar](Wide<T> x) { return f(scalar, x, 0); });
  });
}

void clamp(const Tensor& x, double low, double high, Tensor& out) {
  visit_any(x.dtype(), [&]<class T>(T) {
    const auto least = narrow<Wide<T>>(low), most = narrow<Wide<T>>(high);
    map<T, T>(x, out, [=](Wide<T> value) { return minimum_of(maximum_of(value, least), most); });
  });
}

void clamp_grad(const Tensor& gy, const Tensor& x, double low, double high, Tensor& gx) {
  visit_floating("clamp_grad", x.dtype(), [&]<class T>(T) {
    const T *slope = pointer<T>(gy), *value = pointer<T>(x);
    T* to = pointer<T>(gx);
    for_each_element<3>(gx.shape(), {gy.strides(), x.strides(), gx.strides()}, [&](const Offsets<3>& at) {
      const double here = widen(value[at[1]]);
      to[at[2]] = here < low || here > high ? T(0) : slope[at[0]];
    });
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
