#include "apps/reproduce/problems.h"

namespace gradus::reproduce {
namespace {

Tensor matrix(std::initializer_list<double> values, const Shape& shape) { return Tensor::from<double>(values, shape); }

// Products with a constant matrix from the right: x [1, n] times a [n, m].
Var times(const Var& x, const Tensor& a) { return matmul(x, Var(a)); }

// Half of a Hadamard matrix of order four: orthogonal, so curvatures are the eigenvalues.
Tensor rotation() {
  return matrix({0.5, 0.5, 0.5, 0.5, 0.5, -0.5, 0.5, -0.5, 0.5, 0.5, -0.5, -0.5, 0.5, -0.5, -0.5, 0.5}, {4, 4});
}

}  // namespace

Problem half_square() {
  return {"x^2/2", {1}, 1, 1, 0, {0}, [](const Var& x) { return sum(square(x)) * 0.5; }};
}

Problem rotated_quadratic() {
  return {"quadratic", {1, -2, 3, 1.5}, 1, 0.1, 0, {0, 0, 0, 0}, [](const Var& x) {
            const Var axes = times(x, rotation());
            return sum(square(axes) * Var(matrix({0.1, 0.3, 0.6, 1}, {1, 4}))) * 0.5;
          }};
}

Problem not_convex() {
  return {
      "x^2 + 3 sin^2 x", {3}, 8, 1.0 / 32, 0, {0}, [](const Var& x) {
            return sum(square(x) + square(sin(x)) * 3.0); }};
}

// A A^T = [[2, 0], [0, 3]]: its eigenvalues are the curvatures that are not 0.
Problem underdetermined() {
  return {"underdetermined", {2, -1, 4}, 3, 2, 0, {}, [](const Var& x) {
            const Tensor transposed = matrix({1, 1, 1, -1, 0, 1}, {3, 2}), b = matrix({1, 2}, {1, 2});
            return sum(square(times(x, transposed) - Var(b))) * 0.5;
          }};
}

// Points (1, 1), (1, -1), (2, 1), (2, -1) with the labels 1, 1, -1, -1 and their opposites would be separable; with
// symmetric labels the minimum is at 0: each point appears with both labels, where f = log 2.
Problem logistic() {
  return {"logistic", {3, -2}, 10.0 / 16, 0, 0.69314718055994531, {0, 0}, [](const Var& x) {
            const Tensor points = matrix({1, 1, 2, 2, 1, -1, 1, -1}, {2, 4});
            const Var margins = times(x, points);
            return (mean(softplus(margins)) + mean(softplus(-margins))) * 0.5;
          }};
}

Problem log_cosh() {
  return {"sum log cosh", {4, -2, 1}, 1, 0, 0, {0, 0, 0}, [](const Var& x) {
            // log cosh x = x + softplus(-2 x) - log 2
            return sum(x + softplus(x * -2.0) - 0.69314718055994531);
          }};
}

Parameter start_of(const Problem& problem) {
  const auto n = static_cast<int64_t>(problem.start.size());
  return Parameter(Tensor::from(problem.start, {1, n}),
                   {.name = "theta", .layer = LayerKind::linear, .role = ParamRole::weight, .out = 1, .in = n});
}

double evaluate(const Problem& problem, const Parameter& theta) {
  theta.clear_grad();
  const Var f = problem.value(theta);
  f.backward();
  return f.item();
}

}  // namespace gradus::reproduce
