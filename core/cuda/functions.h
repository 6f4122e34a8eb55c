// The function of every elementwise operation, on float, double and int64: see core/ref/elementwise.cpp for what they
// promise. The operation is known at run time only; every thread takes the same branch.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "core/anywhere.h"
#include "core/kernels.h"

namespace gradus::cuda {

template <class W>
GRADUS_ANYWHERE inline W sigmoid_of(W x) {
  if (x >= 0) return 1 / (1 + std::exp(-x));
  const W e = std::exp(x);
  return e / (1 + e);
}
/// log(1 + e^x) without overflow.
template <class W>
GRADUS_ANYWHERE inline W softplus_of(W x) {
  return (x > 0 ? x : x < 0 ? W{0} : x) + std::log1p(std::exp(-std::abs(x)));
}
template <class W>
GRADUS_ANYWHERE inline W normal_cdf(W x) {
  return W(0.5) * std::erfc(-x * W(0.70710678118654752440));
}
template <class W>
GRADUS_ANYWHERE inline W normal_density(W x) {
  return std::exp(W(-0.5) * x * x) * W(0.39894228040143267794);  // 1 / sqrt(2 pi)
}
template <class W>
GRADUS_ANYWHERE inline W sign_of(W x) {
  return x > 0 ? W{1} : x < 0 ? W{-1} : x;  // keeps NaN
}
template <class W>
GRADUS_ANYWHERE inline W maximum_of(W a, W b) {
  return a != a || a > b ? a : b;  // NaN wins
}
template <class W>
GRADUS_ANYWHERE inline W minimum_of(W a, W b) {
  return a != a || a < b ? a : b;
}

/// Integers wrap around, by a detour that keeps it defined.
GRADUS_ANYWHERE inline uint64_t bits_of(int64_t x) { return static_cast<uint64_t>(x); }

template <class W>
GRADUS_ANYWHERE W apply(UnaryOp op, W x, W param) {
  if constexpr (std::is_floating_point_v<W>) {
    switch (op) {
      case UnaryOp::neg: return -x;
      case UnaryOp::abs: return std::abs(x);
      case UnaryOp::sign: return sign_of(x);
      case UnaryOp::exp: return std::exp(x);
      case UnaryOp::log: return std::log(x);
      case UnaryOp::sqrt: return std::sqrt(x);
      case UnaryOp::rsqrt: return 1 / std::sqrt(x);
      case UnaryOp::reciprocal: return 1 / x;
      case UnaryOp::square: return x * x;
      case UnaryOp::sin: return std::sin(x);
      case UnaryOp::cos: return std::cos(x);
      case UnaryOp::erf: return std::erf(x);
      case UnaryOp::tanh: return std::tanh(x);
      case UnaryOp::sigmoid: return sigmoid_of(x);
      case UnaryOp::softplus: return softplus_of(x);
      case UnaryOp::relu: return x < 0 ? W{0} : x;  // keeps NaN
      case UnaryOp::leaky_relu: return x > 0 ? x : param * x;
      case UnaryOp::gelu: return x * normal_cdf(x);
      case UnaryOp::silu: return x * sigmoid_of(x);
      case UnaryOp::logical_not: return x == 0 ? W{1} : W{0};
    }
  } else {
    switch (op) {
      case UnaryOp::neg: return static_cast<int64_t>(0 - bits_of(x));
      case UnaryOp::abs: return x < 0 ? static_cast<int64_t>(0 - bits_of(x)) : x;
      case UnaryOp::sign: return sign_of(x);
      case UnaryOp::square: return static_cast<int64_t>(bits_of(x) * bits_of(x));
      case UnaryOp::relu: return x < 0 ? 0 : x;
      case UnaryOp::logical_not: return x == 0 ? 1 : 0;
      default: break;  // operations of floating-point elements alone: core/ops_check.cpp lets no integers through
    }
  }
  return x;
}

template <class W>
GRADUS_ANYWHERE W apply(BinaryOp op, W a, W b, W param) {
  if constexpr (std::is_floating_point_v<W>) {
    switch (op) {
      case BinaryOp::add: return a + b;
      case BinaryOp::sub: return a - b;
      case BinaryOp::mul: return a * b;
      case BinaryOp::div: return a / b;
      case BinaryOp::pow: return std::pow(a, b);
      case BinaryOp::maximum: return maximum_of(a, b);
      case BinaryOp::minimum: return minimum_of(a, b);
      // Of the gradient a and the output or input b.
      case BinaryOp::relu_grad: return b > 0 ? a : W{0};
      case BinaryOp::tanh_grad: return a * (1 - b * b);
      case BinaryOp::sigmoid_grad: return a * b * (1 - b);
      case BinaryOp::leaky_relu_grad: return b > 0 ? a : param * a;
      case BinaryOp::gelu_grad: return a * (normal_cdf(b) + b * normal_density(b));
      case BinaryOp::softplus_grad: return a * sigmoid_of(b);
      case BinaryOp::silu_grad: return a * (sigmoid_of(b) + b * sigmoid_of(b) * sigmoid_of(-b));
      case BinaryOp::eq: return W(a == b);
      case BinaryOp::ne: return W(a != b);
      case BinaryOp::lt: return W(a < b);
      case BinaryOp::le: return W(a <= b);
      case BinaryOp::gt: return W(a > b);
      case BinaryOp::ge: return W(a >= b);
      case BinaryOp::logical_and: return W(a != 0 && b != 0);
      case BinaryOp::logical_or: return W(a != 0 || b != 0);
    }
  } else {
    switch (op) {
      case BinaryOp::add: return static_cast<int64_t>(bits_of(a) + bits_of(b));
      case BinaryOp::sub: return static_cast<int64_t>(bits_of(a) - bits_of(b));
      case BinaryOp::mul: return static_cast<int64_t>(bits_of(a) * bits_of(b));
      case BinaryOp::maximum: return maximum_of(a, b);
      case BinaryOp::minimum: return minimum_of(a, b);
      case BinaryOp::eq: return W(a == b);
      case BinaryOp::ne: return W(a != b);
      case BinaryOp::lt: return W(a < b);
      case BinaryOp::le: return W(a <= b);
      case BinaryOp::gt: return W(a > b);
      case BinaryOp::ge: return W(a >= b);
      case BinaryOp::logical_and: return W(a != 0 && b != 0);
      case BinaryOp::logical_or: return W(a != 0 || b != 0);
      default: break;  // as above
    }
  }
  return a;
}

}  // namespace gradus::cuda
