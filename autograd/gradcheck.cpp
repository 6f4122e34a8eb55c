// Compares gradients with fourth-order central differences of a random weighted sum of the output's elements.
#include "autograd/gradcheck.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/ops.h"
#include "core/error.h"

namespace gradus {
namespace {

/// Streams of the random numbers drawn here, apart from each other for any seed.
enum Stream : uint64_t { output_weights, gradient_seed, gradient_weights };

void check_inputs(const char* op, const std::vector<Var>& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i)
    if (!inputs[i].is_leaf() || inputs[i].dtype() != DType::float64)
      fail(ErrorKind::value, op, "input ", i,
           " must be a float64 leaf: make it with Var::leaf(random_uniform(shape, -1, 1, key, DType::float64))");
}

Dims position(const Shape& shape, int64_t element) {
  Dims at = shape;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    at[d] = element % shape[d];
    element /= shape[d];
  }
  return at;
}

/// A copy of x, in the same memory order, with `change` added to one element.
Tensor shifted(const Tensor& x, int64_t element, double change) {
  Tensor y = clone(x), one = y;
  const Dims at = position(x.shape(), element);
  for (int d = 0; d < x.rank(); ++d) one = slice(one, d, at[d], at[d] + 1);
  copy_(one, one + change);
  return y;
}

double relative_error(double analytic, double numeric) {
  const double error = std::abs(analytic - numeric) / std::max(1.0, std::abs(numeric));
  return std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
}

/// Fourth-order central difference of the weighted output in one element of inputs[i].
double difference(const VarFunction& f, const std::vector<Var>& inputs, size_t i, int64_t element,
                  const Tensor& weights, double step) {
  std::vector<Var> moved = inputs;
  const auto value = [&](double change) {
    moved[i] = Var::leaf(shifted(inputs[i].value(), element, change));
    return dot(f(moved).value(), weights);
  };
  return (8 * (value(step) - value(-step)) - (value(2 * step) - value(-2 * step))) / (12 * step);
}

}  // namespace

GradcheckResult gradcheck(const VarFunction& f, const std::vector<Var>& inputs, const GradcheckOptions& options) {
  check_inputs("gradcheck", inputs);
  const Var y = f(inputs);
  const Tensor weights = random_uniform(y.shape(), -1, 1, {options.seed, output_weights}, y.dtype());
  std::vector<Var> analytic(inputs.size());
  if (y.requires_grad()) analytic = grad(std::span(&y, 1), inputs, {.allow_unused = true, .seeds = {weights}});

  GradcheckResult result;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const int64_t count = inputs[i].value().numel();
    const auto slopes = analytic[i].defined() ? analytic[i].value().to_vector<double>()
                                              : std::vector<double>(static_cast<size_t>(count), 0.0);
    for (int64_t k = 0; k < count; ++k) {
      const double numeric = difference(f, inputs, i, k, weights, options.step);
      const double error = relative_error(slopes[static_cast<size_t>(k)], numeric);
      if (error <= result.worst) continue;
      result.worst = error;
      result.ok = error <= options.relative;
      result.message = text("input ", i, ", element ", position(inputs[i].shape(), k), ": the gradient is ",
                            slopes[static_cast<size_t>(k)], ", differences give ", numeric, " (relative error ", error,
                            ", allowed ", options.relative, ")");
    }
  }
  return result;
}

GradcheckResult gradgradcheck(const VarFunction& f, const std::vector<Var>& inputs, const GradcheckOptions& options) {
  check_inputs("gradgradcheck", inputs);
  // A random weighted sum of the first gradient, as a function of the inputs and of the gradient of the output.
  const auto gradient = [&](std::span<const Var> points, bool create_graph) {
    const std::span<const Var> at = points.first(inputs.size());
    const Var y = f(at);
    Var total = Var(Tensor::zeros({}, DType::float64));
    if (!y.requires_grad()) return total;
    const std::vector<Var> slopes =
        grad(std::span(&y, 1), at, {.create_graph = create_graph, .allow_unused = true, .seeds = {points.back()}});
    for (size_t i = 0; i < slopes.size(); ++i)
      if (slopes[i].defined()) {
        const RandomKey key = {options.seed, gradient_weights, i << 32};
        total = total + sum(slopes[i] * random_uniform(slopes[i].shape(), -1, 1, key, DType::float64));
      }
    return total;
  };

  std::vector<Var> points = inputs;
  points.push_back(Var::leaf(random_uniform(f(inputs).shape(), -1, 1, {options.seed, gradient_seed}, DType::float64)));
  // An operation may have a fast path for the first gradient: both paths must give the same.
  const double recorded = gradient(points, true).item(), direct = gradient(points, false).item();
  if (const double error = relative_error(recorded, direct); error > options.relative)
    return {false, error, text("the first gradient is ", direct, ", but ", recorded, " under create_graph")};
  return gradcheck([&](std::span<const Var> at) { return gradient(at, true); }, points, options);
}

}  // namespace gradus
