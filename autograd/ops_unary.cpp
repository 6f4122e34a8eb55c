// Elementwise functions of one variable and their derivatives. While a walk is itself being recorded the derivative is
// spelled out in operations on variables; otherwise, where there is a fused kernel for it, that is one pass over
// memory.
#include <numbers>

#include "autograd/gradients.h"
#include "autograd/record.h"

namespace gradus {
namespace {

/// leaky_relu_grad is linear in gy, so it is its own gradient; x counts as a constant.
Var leaky_relu_grad(const Var& gy, const Var& x, double slope) {
  return record("leaky_relu_grad", binary(BinaryOp::leaky_relu_grad, gy.value(), x.value(), slope), {gy},
                [x = Saved(x), slope](const Var& ggx, Inputs in) { in[0] = leaky_relu_grad(ggx, x.get(in), slope); });
}

/// d gelu(x) / dx = Phi(x) + x phi(x), with the distribution and density of the standard normal.
Var gelu_slope(const Var& x) {
  constexpr double inv_sqrt2 = 1 / std::numbers::sqrt2;
  constexpr double inv_sqrt_2pi = std::numbers::inv_sqrtpi * inv_sqrt2;
  return (erf(x * inv_sqrt2) + 1.0) * 0.5 + x * exp(square(x) * -0.5) * inv_sqrt_2pi;
}

}  // namespace

Var neg(const Var& x) {
  return record("neg", neg(x.value()), {x}, [](const Var& gy, Inputs in) { in[0] = neg(gy); });
}

Var abs(const Var& x) {
  return record("abs", abs(x.value()), {x},
                [x = Saved(x)](const Var& gy, Inputs in) { in[0] = gy * sign(x.get(in).value()); });
}

Var exp(const Var& x) {
  Tensor y = exp(x.value());
  return record("exp", y, {x}, [y = SavedOutput(y)](const Var& gy, Inputs in) { in[0] = gy * y.get(in); });
}

Var log(const Var& x) {
  return record("log", log(x.value()), {x}, [x = Saved(x)](const Var& gy, Inputs in) { in[0] = gy / x.get(in); });
}

Var sqrt(const Var& x) {
  Tensor y = sqrt(x.value());
  return record("sqrt", y, {x}, [y = SavedOutput(y)](const Var& gy, Inputs in) { in[0] = gy / (y.get(in) * 2.0); });
}

Var rsqrt(const Var& x) {
  Tensor y = rsqrt(x.value());
  return record("rsqrt", y, {x}, [y = SavedOutput(y)](const Var& gy, Inputs in) {
    const Var r = y.get(in);
    in[0] = gy * (r * square(r)) * -0.5;
  });
}

Var reciprocal(const Var& x) {
  Tensor y = reciprocal(x.value());
  return record("reciprocal", y, {x},
                [y = SavedOutput(y)](const Var& gy, Inputs in) { in[0] = gy * neg(square(y.get(in))); });
}

Var square(const Var& x) {
  return record("square", square(x.value()), {x},
                [x = Saved(x)](const Var& gy, Inputs in) { in[0] = gy * x.get(in) * 2.0; });
}

Var sin(const Var& x) {
  return record("sin", sin(x.value()), {x}, [x = Saved(x)](const Var& gy, Inputs in) { in[0] = gy * cos(x.get(in)); });
}

Var cos(const Var& x) {
  return record("cos", cos(x.value()), {x},
                [x = Saved(x)](const Var& gy, Inputs in) { in[0] = gy * neg(sin(x.get(in))); });
}

Var erf(const Var& x) {
  return record("erf", erf(x.value()), {x}, [x = Saved(x)](const Var& gy, Inputs in) {
    in[0] = gy * exp(neg(square(x.get(in)))) * (2 * std::numbers::inv_sqrtpi);
  });
}

Var tanh(const Var& x) {
  Tensor t = tanh(x.value());
  return record("tanh", t, {x}, [t = SavedOutput(t)](const Var& gy, Inputs in) {
    const Var y = t.get(in);
    in[0] = recording() ? gy * (1.0 - square(y)) : binary(BinaryOp::tanh_grad, gy.value(), y.value());
  });
}

Var sigmoid(const Var& x) {
  Tensor s = sigmoid(x.value());
  return record("sigmoid", s, {x}, [s = SavedOutput(s)](const Var& gy, Inputs in) {
    const Var y = s.get(in);
    in[0] = recording() ? gy * (y * (1.0 - y)) : binary(BinaryOp::sigmoid_grad, gy.value(), y.value());
  });
}

Var softplus(const Var& x) {
  return record("softplus", softplus(x.value()), {x}, [saved = Saved(x)](const Var& gy, Inputs in) {
    const Var& x = saved.get(in);
    in[0] = recording() ? gy * sigmoid(x) : binary(BinaryOp::softplus_grad, gy.value(), x.value());
  });
}

Var relu(const Var& x) {
  Tensor y = relu(x.value());
  return record("relu", y, {x}, [y = SavedOutput(y)](const Var& gy, Inputs in) { in[0] = relu_grad(gy, y.get(in)); });
}

Var relu_grad(const Var& gy, const Var& y) {
  return record("relu_grad", binary(BinaryOp::relu_grad, gy.value(), y.value()), {gy},
                [y = Saved(y)](const Var& ggx, Inputs in) { in[0] = relu_grad(ggx, y.get(in)); });
}

Var leaky_relu(const Var& x, double slope) {
  return record("leaky_relu", leaky_relu(x.value(), slope), {x},
                [x = Saved(x), slope](const Var& gy, Inputs in) { in[0] = leaky_relu_grad(gy, x.get(in), slope); });
}

Var gelu(const Var& x) {
  return record("gelu", gelu(x.value()), {x}, [saved = Saved(x)](const Var& gy, Inputs in) {
    const Var& x = saved.get(in);
    in[0] = recording() ? gy * gelu_slope(x) : binary(BinaryOp::gelu_grad, gy.value(), x.value());
  });
}

Var silu(const Var& x) {
  return record("silu", unary(UnaryOp::silu, x.value()), {x}, [saved = Saved(x)](const Var& gy, Inputs in) {
    const Var& x = saved.get(in);
    if (!recording()) {
      in[0] = binary(BinaryOp::silu_grad, gy.value(), x.value());
      return;
    }
    const Var s = sigmoid(x);
    in[0] = gy * (s + x * s * (1.0 - s));
  });
}

}  // namespace gradus
