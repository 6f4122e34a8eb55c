// Mixed precision: which operations cast, where float32 stays, and how far gradients move.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/autocast.h"
#include "autograd/curvature.h"
#include "autograd/ops.h"
#include "core/accelerator.h"
#include "core/error.h"
#include "core/random.h"

using namespace gradus;

namespace {

constexpr DType narrow = DType::bfloat16, wide = DType::float32;

Tensor draw(const Shape& shape, uint64_t stream, DType dtype = wide) {
  return cast(random_uniform(shape, -1, 1, {.seed = 5, .stream = stream}), dtype);
}

double norm_of(const std::vector<Tensor>& list) {
  double squares = 0;
  for (const Tensor& t : list) squares += std::pow(norm(cast(t, DType::float64)), 2);
  return std::sqrt(squares);
}

double distance(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  std::vector<Tensor> differences;
  for (size_t i = 0; i < a.size(); ++i) differences.push_back(cast(a[i], DType::float64) - cast(b[i], DType::float64));
  return norm_of(differences);
}

/// Two convolutions, batch norm, pooling and a dense layer, with the loss of a batch: x, then the parameters.
Var small_net(std::span<const Var> v) {
  Var y = conv2d(v[0], v[1], v[2], {.padding = {1, 1, 1, 1}}, true);
  y = max_pool2d(relu(batch_norm(conv2d(y, v[3]), v[4], v[5], 1e-5)), {});
  const Tensor labels = Tensor::from<int64_t>({0, 1, 2, 1, 0, 2}, {6});
  return cross_entropy(linear(flatten(y, 1), v[6], v[7]), labels);
}
constexpr size_t net_roundings = 2 * 5 + 2;  // of activations forward and back, of the input and of the weights

std::vector<Tensor> small_net_values() {
  return {
      draw({6, 3, 8, 8}, 0),     draw({16, 3, 3, 3}, 1) * 0.3, draw({16}, 2) * 0.1,     draw({16, 16, 3, 3}, 3) * 0.2,
      draw({16}, 4) * 0.1 + 1.0, draw({16}, 5) * 0.1,          draw({3, 144}, 6) * 0.1, draw({3}, 7) * 0.1};
}

/// Gradients of the parameters.
std::vector<Tensor> gradients(const std::vector<Tensor>& values) {
  std::vector<Var> leaves = {Var(values[0])};
  for (size_t i = 1; i < values.size(); ++i) leaves.push_back(Var::leaf(values[i]));
  small_net(leaves).backward();
  std::vector<Tensor> result;
  for (size_t i = 1; i < leaves.size(); ++i) result.push_back(leaves[i].grad());
  return result;
}

std::vector<Tensor> in_float64(std::vector<Tensor> values) {
  for (Tensor& v : values) v = cast(v, DType::float64);
  return values;
}

/// Every value moved by at most one rounding to bfloat16, in float64: how far that moves a result, times the number of
/// roundings on the way to it, bounds what mixed precision may.
std::vector<Tensor> one_rounding_away(const std::vector<Tensor>& values, uint64_t trial) {
  std::vector<Tensor> near = in_float64(values);
  for (size_t i = 0; i < near.size(); ++i)
    near[i] =
        near[i] * random_uniform(near[i].shape(), 1 - 0x1p-8, 1 + 0x1p-8, {.seed = trial, .stream = i}, DType::float64);
  return near;
}

}  // namespace

TEST_CASE("under Autocast products return bfloat16, and what needs precision float32") {
  const Autocast scope(narrow);
  const Var image = draw({2, 3, 4, 4}, 0), matrix = draw({4, 4}, 1);
  const Var y = conv2d(image, draw({5, 3, 3, 3}, 2), draw({5}, 3));
  CHECK(y.dtype() == narrow);
  CHECK(linear(matrix, draw({2, 4}, 4), draw({2}, 5)).dtype() == narrow);
  CHECK(matmul(matrix, matrix).dtype() == narrow);
  CHECK(relu(y).dtype() == narrow);
  CHECK(max_pool2d(y, {}).dtype() == narrow);
  CHECK(dropout(y, 0.5, {}).dtype() == narrow);
  BatchStatistics statistics;
  CHECK(batch_norm(y, Tensor::ones({5}), Tensor::zeros({5}), 1e-5, &statistics).dtype() == narrow);
  CHECK(statistics.mean.dtype() == wide);
  CHECK(statistics.variance.dtype() == wide);
  for (const Var& full : {sum(y), mean(y), global_avg_pool2d(y), softmax(y, 1), log_softmax(y, 1), mse_loss(y, y),
                          layer_norm(y, {2}, {}, {}, 1e-5), group_norm(y, 1, {}, {}, 1e-5)})
    CHECK(full.dtype() == wide);
  CHECK(cross_entropy(matmul(matrix, matrix), Tensor::zeros({4}, DType::int64)).dtype() == wide);
}

TEST_CASE("operands of both dtypes meet in float32 under Autocast, and nowhere else") {
  const Var a = draw({2, 3}, 0, narrow), b = draw({2, 3}, 1);
  CHECK_THROWS_WITH_AS(a + b,
                       "[add] operands need one dtype, got bfloat16 [2,3] and float32 [2,3]; nothing is promoted "
                       "silently: cast one of them",
                       Error);
  CHECK_THROWS_AS(matmul(a, transpose(b, 0, 1)), Error);
  CHECK_THROWS_AS(linear(b, a), Error);
  const Autocast scope(narrow);
  for (const Var& y :
       {a + b, b - a, a * b, b / a, pow(square(a), b), maximum(a, b), minimum(b, a),
        where(Tensor::from<bool>({true}, {1}), a, b), concat(std::vector<Var>{a, b}, 0), stack({b, a}, 0)})
    CHECK(y.dtype() == wide);
  CHECK((a + a).dtype() == narrow);
  CHECK(concat(std::vector<Var>{a, a}, 0).dtype() == narrow);
}

TEST_CASE("a scope ends where it stood, an inner one of float32 casts nothing, and float64 is left alone") {
  const Var x = draw({2, 2}, 0), exact = draw({2, 2}, 1, DType::float64);
  CHECK(!rounds(x));
  {
    const Autocast outer(narrow);
    {
      const Autocast inner(wide);
      CHECK(matmul(x, x).dtype() == wide);
    }
    CHECK(matmul(x, x).dtype() == narrow);
    CHECK(matmul(exact, exact).dtype() == DType::float64);
  }
  CHECK(matmul(x, x).dtype() == wide);
}

TEST_CASE("a dtype without mixed precision and an unknown name are refused") {
  CHECK_THROWS_WITH_AS(const Autocast wrong{DType::float64},
                       "[autocast] computes in bfloat16, or in float32 as without it, got float64", Error);
  CHECK(parse_amp("none") == wide);
  CHECK(parse_amp("bf16") == narrow);
  CHECK_THROWS_WITH_AS(parse_amp("fp16"), "[autocast] expects none or bf16, got 'fp16'", Error);
}

TEST_CASE("gradients arrive in float32, near the exact ones, the same inside the scope and outside") {
  const std::vector<Tensor> values = small_net_values();
  const std::vector<Tensor> exact = gradients(in_float64(values));
  std::vector<Tensor> inside;
  {
    const Autocast scope(narrow);
    inside = gradients(values);
  }
  std::vector<Var> leaves;
  for (const Tensor& v : values) leaves.push_back(Var::leaf(v));
  Var loss;
  {
    const Autocast scope(narrow);
    loss = small_net(leaves);
  }
  loss.backward();
  for (size_t i = 0; i < inside.size(); ++i) {
    CHECK(inside[i].dtype() == wide);
    CHECK(inside[i].to_vector<float>() == leaves[i + 1].grad().to_vector<float>());
  }
  double moved = 0;
  for (uint64_t trial = 0; trial < 4; ++trial)
    moved = std::max(moved, distance(gradients(one_rounding_away(values, trial)), exact));
  CHECK(distance(inside, exact) <= static_cast<double>(net_roundings) * moved);
  CHECK(distance(inside, exact) > 0);
}

TEST_CASE("the gradient of a gradient goes through mixed precision too") {
  const auto penalty = [](const std::vector<Tensor>& values) {  // of the first weight's gradient
    std::vector<Var> leaves;
    for (const Tensor& v : values) leaves.push_back(Var::leaf(v));
    const Var g = grad(small_net(leaves), leaves[1], {.create_graph = true});
    return std::pair{g.dtype(), std::vector<Tensor>{grad(sum(square(g)), leaves[3]).value()}};
  };
  const std::vector<Tensor> values = small_net_values();
  const auto exact = penalty(in_float64(values));
  const Autocast scope(narrow);
  const auto mixed_precision = penalty(values);
  CHECK(mixed_precision.first == wide);
  CHECK(mixed_precision.second[0].dtype() == wide);
  double moved = 0;
  for (uint64_t trial = 0; trial < 4; ++trial)
    moved = std::max(moved, distance(penalty(one_rounding_away(values, trial)).second, exact.second));
  CHECK(distance(mixed_precision.second, exact.second) <= 2.0 * static_cast<double>(net_roundings) * moved);
}

TEST_CASE("curvature goes back through batch norm in mixed precision, in training and with fixed statistics") {
  const Tensor mean = draw({16}, 8) * 0.1, variance = draw({16}, 9) * 0.2 + 1.0;
  for (const CurvatureMethod method : {CurvatureMethod::hesscale, CurvatureMethod::hesscale_gn})
    for (const bool fixed : {false, true}) {
      CAPTURE(fixed);
      const auto curvatures = [&](const std::vector<Tensor>& v) {
        std::vector<Var> leaves = {Var(v[0])};
        for (size_t i = 1; i < v.size(); ++i) leaves.push_back(Var::leaf(v[i]));
        const Var x = conv2d(leaves[0], leaves[1], leaves[2], {.padding = {1, 1, 1, 1}}, true);
        const DType dtype = v[4].dtype();
        const Var y = fixed ? batch_norm_apply(conv2d(x, leaves[3]), leaves[4], leaves[5], cast(mean, dtype),
                                               cast(variance, dtype), 1e-5)
                            : batch_norm(conv2d(x, leaves[3]), leaves[4], leaves[5], 1e-5);
        const Tensor labels = Tensor::from<int64_t>({0, 1, 2, 1, 0, 2}, {6});
        const Var pooled = flatten(max_pool2d(relu(y), {}), 1);
        backward_with_curvature(cross_entropy(linear(pooled, leaves[6], leaves[7]), labels), {.method = method});
        std::vector<Tensor> result;
        for (size_t i = 1; i < leaves.size(); ++i) result.push_back(leaves[i].curvature());
        return result;
      };
      const std::vector<Tensor> values = small_net_values(), exact = curvatures(in_float64(values));
      std::vector<Tensor> mixed_precision;
      {
        const Autocast scope(narrow);
        mixed_precision = curvatures(values);
      }
      for (const Tensor& h : mixed_precision) CHECK(h.dtype() == wide);
      double moved = 0;
      for (uint64_t trial = 0; trial < 4; ++trial)
        moved = std::max(moved, distance(curvatures(one_rounding_away(values, trial)), exact));
      // Gradient and curvature are both rounded on the way back.
      CHECK(distance(mixed_precision, exact) <= 2.0 * static_cast<double>(net_roundings) * moved);
      CHECK(distance(mixed_precision, exact) > 0);
    }
}
