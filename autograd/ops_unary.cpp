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

constexpr double inv_sqrt2 = 1 / std::numbers::sqrt2;

/// phi(x), of the standard normal distribution.
Var normal_density(const Var& x) { return exp(square(x) * -0.5) * (std::numbers::inv_sqrtpi * inv_sqrt2); }

/// d gelu(x) / dx = Phi(x) + x phi(x), with the distribution and density of the standard normal.
Var gelu_slope(const Var& x) { return (erf(x * inv_sqrt2) + 1.0) * 0.5 + x * normal_density(x); }

}  // namespace

Var neg(const Var& x) {
  return record("neg", neg(x.value()), {x}, scales([](const Var& gy, Inputs in) { in[0] = neg(gy); }));
}

Var abs(const Var& x) {
  return record("abs", abs(x.value()), {x},
                scales([x = Saved(x)](const Var& gy, Inputs in) { in[0] = gy * sign(x.get(in).value()); }));
}

Var exp(const Var& x) {
  Tensor y = exp(x.value());
  return record("exp", y, {x}, [y = SavedOutput(y)](const Var& gy, Inputs in, Curvature h) {
    const auto times_y = [&](const Var& g) { return g * y.get(in); };
    elementwise(gy, in, h, times_y, times_y);
  });
}

Var log(const Var& x) {
  return record("log", log(x.value()), {x}, [x = Saved(x)](const Var& gy, Inputs in, Curvature h) {
    elementwise(
        gy, in, h, [&](const Var& g) { return g / x.get(in); },
        [&](const Var& g) { return neg(g / square(x.get(in))); });
  });
}

Var sqrt(const Var& x) {
  Tensor y = sqrt(x.value());
  return record("sqrt", y, {x}, [y = SavedOutput(y)](const Var& gy, Inputs in, Curvature h) {
    elementwise(
        gy, in, h, [&](const Var& g) { return g / (y.get(in) * 2.0); },
        [&](const Var& g) { return g / (pow(y.get(in), 3) * -4.0); });
  });
}

Var rsqrt(const Var& x) {
  Tensor y = rsqrt(x.value());
  return record("rsqrt", y, {x}, [y = SavedOutput(y)](const Var& gy, Inputs in, Curvature h) {
    const Var r = y.get(in);
    elementwise(
        gy, in, h, [&](const Var& g) { return g * (r * square(r)) * -0.5; },
        [&](const Var& g) { return g * pow(r, 5) * 0.75; });
  });
}

Var reciprocal(const Var& x) {
  Tensor y = reciprocal(x.value());
  return record("reciprocal", y, {x}, [y = SavedOutput(y)](const Var& gy, Inputs in, Curvature h) {
    elementwise(
        gy, in, h, [&](const Var& g) { return g * neg(square(y.get(in))); },
        [&](const Var& g) { return g * pow(y.get(in), 3) * 2.0; });
  });
}

Var square(const Var& x) {
  return record("square", square(x.value()), {x}, [x = Saved(x)](const Var& gy, Inputs in, Curvature h) {
    elementwise(
        gy, in, h, [&](const Var& g) { return g * x.get(in) * 2.0; }, [](const Var& g) { return g * 2.0; });
  });
}

Var sin(const Var& x) {
  return record("sin", sin(x.value()), {x}, [x = Saved(x)](const Var& gy, Inputs in, Curvature h) {
    elementwise(
        gy, in, h, [&](const Var& g) { return g * cos(x.get(in)); },
        [&](const Var& g) { return g * neg(sin(x.get(in))); });
  });
}

Var cos(const Var& x) {
  return record("cos", cos(x.value()), {x}, [x = Saved(x)](const Var& gy, Inputs in, Curvature h) {
    elementwise(
        gy, in, h, [&](const Var& g) { return g * neg(sin(x.get(in))); },
        [&](const Var& g) { return g * neg(cos(x.get(in))); });
  });
}

Var erf(const Var& x) {
  return record("erf", erf(x.value()), {x}, [x = Saved(x)](const Var& gy, Inputs in, Curvature h) {
    const auto slope = [&](const Var& g) { return g * exp(neg(square(x.get(in)))) * (2 * std::numbers::inv_sqrtpi); };
    elementwise(gy, in, h, slope, [&](const Var& g) { return slope(g) * x.get(in) * -2.0; });
  });
}

Var tanh(const Var& x) {
  Tensor t = tanh(x.value());
  return record("tanh", t, {x}, [t = SavedOutput(t)](const Var& gy, Inputs in, Curvature h) {
    const Var y = t.get(in);
    const auto slope = [&](const Var& g) -> Var {
      return recording() ? g * (1.0 - square(y)) : binary(BinaryOp::tanh_grad, g.value(), y.value());
    };
    elementwise(gy, in, h, slope, [&](const Var& g) { return slope(g * y * -2.0); });
  });
}

Var sigmoid(const Var& x) {
  Tensor s = sigmoid(x.value());
  return record("sigmoid", s, {x}, [s = SavedOutput(s)](const Var& gy, Inputs in, Curvature h) {
    const Var y = s.get(in);
    const auto slope = [&](const Var& g) -> Var {
      return recording() ? g * (y * (1.0 - y)) : binary(BinaryOp::sigmoid_grad, g.value(), y.value());
    };
    elementwise(gy, in, h, slope, [&](const Var& g) { return slope(g * (1.0 - y * 2.0)); });
  });
}

Var softplus(const Var& x) {
  return record("softplus", softplus(x.value()), {x}, [saved = Saved(x)](const Var& gy, Inputs in, Curvature h) {
    const Var& x = saved.get(in);
    const auto slope = [&](const Var& g) -> Var {
      return recording() ? g * sigmoid(x) : binary(BinaryOp::softplus_grad, g.value(), x.value());
    };
    elementwise(gy, in, h, slope, [&](const Var& g) { return g * sigmoid(x) * sigmoid(neg(x)); });
  });
}

Var relu(const Var& x) {
  Tensor y = relu(x.value());
  return record("relu", y, {x},
                selects([y = SavedOutput(y)](const Var& gy, Inputs in) { in[0] = relu_grad(gy, y.get(in)); }));
}

Var relu_grad(const Var& gy, const Var& y) {
  return record("relu_grad", binary(BinaryOp::relu_grad, gy.value(), y.value()), {gy},
                [y = Saved(y)](const Var& ggx, Inputs in) { in[0] = relu_grad(ggx, y.get(in)); });
}

Var leaky_relu(const Var& x, double slope) {
  return record(
      "leaky_relu", leaky_relu(x.value(), slope), {x},
      scales([x = Saved(x), slope](const Var& gy, Inputs in) { in[0] = leaky_relu_grad(gy, x.get(in), slope); }), [=] {
        return Attributes{{"slope", slope}};
      });
}

Var gelu(const Var& x) {
  return record("gelu", gelu(x.value()), {x}, [saved = Saved(x)](const Var& gy, Inputs in, Curvature h) {
    const Var& x = saved.get(in);
    const auto slope = [&](const Var& g) -> Var {
      return recording() ? g * gelu_slope(x) : binary(BinaryOp::gelu_grad, g.value(), x.value());
    };
    elementwise(gy, in, h, slope, [&](const Var& g) { return g * ((2.0 - square(x)) * normal_density(x)); });
  });
}

Var silu(const Var& x) {
  return record("silu", silu(x.value()), {x}, [saved = Saved(x)](const Var& gy, Inputs in, Curvature h) {
    const Var& x = saved.get(in);
    const auto slope = [&](const Var& g) -> Var {
      if (!recording()) return binary(BinaryOp::silu_grad, g.value(), x.value());
      const Var s = sigmoid(x);
      return g * (s + x * s * (1.0 - s));
    };
    elementwise(gy, in, h, slope, [&](const Var& g) {
      const Var s = sigmoid(x);
      return g * (s * (1.0 - s) * (2.0 + x * (1.0 - s * 2.0)));
    });
  });
}

}  // namespace gradus
