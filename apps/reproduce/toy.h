// The two test functions of the paper's Figure 1, and descent on them until they are solved.
#pragma once

#include <array>
#include <cmath>
#include <functional>

#include "autograd/ops.h"
#include "optim/optimizer.h"

namespace gradus::reproduce {

/// A function of two variables with the start and the learning rate that reproduce the published iteration counts (the
/// paper states neither).
struct Toy {
  const char* name;
  std::array<double, 2> start;
  double lr;
  Var (*value)(const Var& x, const Var& y);
};

inline Var booth(const Var& x, const Var& y) { return square(x + y * 2.0 - 7.0) + square(x * 2.0 + y - 5.0); }
inline Var himmelblau(const Var& x, const Var& y) { return square(square(x) + y - 11.0) + square(x + square(y) - 7.0); }

inline constexpr Toy toys[] = {{"booth", {0, -4}, 0.005, booth}, {"himmelblau", {0, -1}, 0.001, himmelblau}};

/// How a descent went.
struct Descent {
  int64_t iterations = -1;  ///< updates until f < 1e-6 for the first time; -1 where it diverged or did not get there
  std::array<double, 2> end{};
};

/// The two variables as the weight of a linear layer with two inputs and one output: FOP then learns a 2 x 2 matrix.
inline Parameter toy_parameter(const Toy& toy, DType dtype) {
  const Tensor start = cast(Tensor::from<double>({toy.start[0], toy.start[1]}, {1, 2}), dtype);
  return Parameter(start, {.name = "theta", .layer = LayerKind::linear, .role = ParamRole::weight, .out = 1, .in = 2});
}

/// Runs `optimizer`, which was built over `theta`; `watch` sees the point before every update.
inline Descent descend(const Toy& toy, const Parameter& theta, optim::Optimizer& optimizer, int64_t limit = 20000,
                       const std::function<void(const Tensor&)>& watch = {}) {
  for (int64_t updates = 0; updates <= limit; ++updates) {
    optimizer.zero_grad();
    const Var f = toy.value(slice(theta, 1, 0, 1), slice(theta, 1, 1, 2));
    const double value = f.item();
    if (!std::isfinite(value)) break;
    if (value < 1e-6) {
      const std::vector<double> end = cast(theta.value(), DType::float64).to_vector<double>();
      return {updates, {end[0], end[1]}};
    }
    if (watch) watch(theta.value());
    f.backward();
    optimizer.step();
  }
  return {};
}

}  // namespace gradus::reproduce
