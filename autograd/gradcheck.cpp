// Compares gradients with fourth-order central differences of a random weighted sum of the output's elements.
#include "autograd/gradcheck.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "autograd/ops.h"
#include "core/error.h"

namespace gradus {
namespace {

/// Streams of the random numbers drawn here, apart from each other for any seed.
enum Stream : uint64_t { output_weights, gradient_seed, gradient_weights, chosen_elements };

void check_request(const char* op, const std::vector<Var>& inputs, const GradcheckOptions& options) {
  if (options.most < 0) fail(ErrorKind::value, op, "most must be at least 1, or 0 for all, got ", options.most);
  if (!recording()) fail(ErrorKind::value, op, "nothing is recorded here: end the NoGrad scope first");
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].is_leaf() || inputs[i].dtype() != DType::float64)
      fail(
          ErrorKind::value, op, "input ", i,
          " must be a float64 leaf: make it with Var::leaf(random_uniform(shape, -1, 1, key, DType::float64)), a model "
          "under DefaultDType(DType::float64)");
    if (!inputs[i].requires_grad())
      fail(ErrorKind::value, op, "input ", i, " is frozen and has no gradient: thaw it, or leave it out");
  }
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

/// Where f finds an element that was moved: in copies that it is called with, or in the inputs themselves.
enum class Moves { copies, inputs };

/// Puts values in place of an input's for as long as it lives.
class InPlace {
 public:
  InPlace(const Var& input, const Tensor& values) : input_(input), before_(clone(input.value())) {
    input_.set_value(values);
  }
  ~InPlace() { input_.set_value(before_); }
  InPlace(const InPlace&) = delete;
  InPlace& operator=(const InPlace&) = delete;

 private:
  const Var& input_;
  Tensor before_;
};

/// Fourth-order central difference of the weighted output in one element of inputs[i].
double difference(const VarFunction& f, const std::vector<Var>& inputs, size_t i, int64_t element,
                  const Tensor& weights, double step, Moves moves) {
  std::vector<Var> moved = inputs;
  const auto value = [&](double change) {
    const Tensor there = shifted(inputs[i].value(), element, change);
    std::optional<InPlace> in_place;
    if (moves == Moves::inputs)
      in_place.emplace(inputs[i], there);
    else
      moved[i] = Var::leaf(there);
    return dot(f(moved).value(), weights);
  };
  return (8 * (value(step) - value(-step)) - (value(2 * step) - value(-2 * step))) / (12 * step);
}

/// The elements of an input to check, in order.
std::vector<int64_t> chosen(int64_t count, size_t input, const GradcheckOptions& options) {
  std::vector<int64_t> all(static_cast<size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  if (options.most == 0 || options.most >= count) return all;
  Generator generator(options.seed, chosen_elements + input);
  std::vector<int64_t> some;
  for (int64_t k = 0, left = options.most; left > 0; ++k) {  // each element with the chance that the rest leaves it
    if (static_cast<int64_t>(generator.below(static_cast<uint64_t>(count - k))) >= left) continue;
    some.push_back(k);
    --left;
  }
  return some;
}

GradcheckResult check_gradient(const VarFunction& f, const std::vector<Var>& inputs, const GradcheckOptions& options,
                               Moves moves) {
  const Var y = f(inputs);
  const Tensor weights = random_uniform(y.shape(), -1, 1, {options.seed, output_weights}, y.dtype());
  std::vector<Var> analytic(inputs.size());
  if (y.requires_grad()) analytic = grad(std::span(&y, 1), inputs, {.allow_unused = true, .seeds = {weights}});
  std::vector<std::vector<double>> slopes;  // read before an input is moved, whose memory one may share
  for (size_t i = 0; i < inputs.size(); ++i)
    slopes.push_back(analytic[i].defined() ? analytic[i].value().to_vector<double>()
                                           : std::vector<double>(static_cast<size_t>(inputs[i].value().numel()), 0.0));

  GradcheckResult result;
  for (size_t i = 0; i < inputs.size(); ++i)
    for (const int64_t k : chosen(inputs[i].value().numel(), i, options)) {
      const double slope = slopes[i][static_cast<size_t>(k)];
      const double numeric = difference(f, inputs, i, k, weights, options.step, moves);
      const double error = relative_error(slope, numeric);
      if (error <= result.worst) continue;
      result.worst = error;
      result.ok = error <= options.relative;
      result.message =
          text("input ", i, ", element ", position(inputs[i].shape(), k), ": the gradient is ", slope,
               ", differences give ", numeric, " (relative error ", error, ", allowed ", options.relative, ")");
    }
  return result;
}

GradcheckResult check_second_gradient(const VarFunction& f, const std::vector<Var>& inputs,
                                      const GradcheckOptions& options, Moves moves) {
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
  return check_gradient([&](std::span<const Var> at) { return gradient(at, true); }, points, options, moves);
}

VarFunction without_arguments(const std::function<Var()>& f) {
  return [&f](std::span<const Var>) { return f(); };
}

}  // namespace

GradcheckResult gradcheck(const VarFunction& f, const std::vector<Var>& inputs, const GradcheckOptions& options) {
  check_request("gradcheck", inputs, options);
  return check_gradient(f, inputs, options, Moves::copies);
}

GradcheckResult gradgradcheck(const VarFunction& f, const std::vector<Var>& inputs, const GradcheckOptions& options) {
  check_request("gradgradcheck", inputs, options);
  return check_second_gradient(f, inputs, options, Moves::copies);
}

GradcheckResult gradcheck(const std::function<Var()>& f, const VarList& inputs, const GradcheckOptions& options) {
  check_request("gradcheck", inputs, options);
  return check_gradient(without_arguments(f), inputs, options, Moves::inputs);
}

GradcheckResult gradgradcheck(const std::function<Var()>& f, const VarList& inputs, const GradcheckOptions& options) {
  check_request("gradgradcheck", inputs, options);
  return check_second_gradient(without_arguments(f), inputs, options, Moves::inputs);
}

}  // namespace gradus
