#include <doctest/doctest.h>

#include <cmath>

#include "core/error.h"
#include "core/random.h"
#include "tests/autograd/slopes.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

Var uniform(const Shape& shape, uint64_t seed) {
  return Var::leaf(random_uniform(shape, -1, 1, {.seed = seed}, DType::float64));
}

/// The loss of a small network with every kind of layer that All-CNN-C has.
Var network(const Var& images, const std::vector<Var>& p) {
  Var h = conv2d(images, p[0], p[1], {.padding = {1, 1, 1, 1}}, true);
  h = conv2d(h, p[2], p[3], {.stride = {2, 2}, .padding = {0, 0, 1, 1}}, true);
  h = conv2d(dropout(h, 0.2, {.seed = 4}), p[4]);
  return cross_entropy(global_avg_pool2d(h), Tensor::from<int64_t>({1, 0}, {2}));
}

}  // namespace

TEST_CASE("the weight of a 1x1 convolution has the gradient of a matrix product") {
  const Var x = counting({1, 2, 2, 2}), w = leaf({1, -1}, {1, 2, 1, 1});
  const Var y = conv2d(x, w);
  CHECK(y.value().to_vector<double>() == Values{-4, -4, -4, -4});
  CHECK(slopes(y, w) == Values{0 + 1 + 2 + 3, 4 + 5 + 6 + 7});
  CHECK(slopes(y, x) == Values{1, 1, 1, 1, -1, -1, -1, -1});
}

TEST_CASE("a convolution with fused relu equals the two operations, results and gradients") {
  const Var x = uniform({2, 3, 5, 5}, 1), w = uniform({4, 3, 3, 3}, 2), b = uniform({4}, 3);
  const Var fused = conv2d(x, w, b, {}, true), apart = relu(conv2d(x, w, b));
  CHECK(fused.value().to_vector<double>() == apart.value().to_vector<double>());
  for (const Var& v : {x, w, b}) CHECK(slopes(fused, v) == slopes(apart, v));
}

TEST_CASE("pooling sends the gradient of each window to its maximum, or shares it") {
  const Var x = leaf({1, 2, 5, 6, 3, 4, 8, 7}, {1, 1, 2, 4});
  const Var weights = Tensor::from<double>({10, 20}, {1, 1, 1, 2});
  CHECK(slopes(max_pool2d(x, {}) * weights, x) == Values{0, 0, 0, 0, 0, 10, 20, 0});
  CHECK(slopes(avg_pool2d(x, {}) * weights, x) == Values{2.5, 2.5, 5, 5, 2.5, 2.5, 5, 5});
}

TEST_CASE("a penalty on the gradient of a convolutional network has the derivative that differences give") {
  const Var images = uniform({2, 2, 6, 6}, 1);
  std::vector<Var> p = {uniform({3, 2, 3, 3}, 2), uniform({3}, 3), uniform({4, 3, 3, 3}, 4), uniform({4}, 5),
                        uniform({2, 4, 1, 1}, 6)};
  const auto penalty = [&](const std::vector<Var>& at) {
    Var total = Tensor::zeros({}, DType::float64);
    for (const Var& g : grad(network(images, at), at, {.create_graph = true})) total = total + sum(g * g);
    return total;
  };
  const std::vector<Var> analytic = grad(penalty(p), p);
  for (size_t i = 0; i < p.size(); ++i) {
    // Along one random direction per parameter; h^2 |f'''| is about 1e-10, rounding about 1e-16 / h = 1e-11.
    const Tensor direction = random_uniform(p[i].shape(), -1, 1, {.seed = 20 + i}, DType::float64);
    const double h = 1e-5;
    std::vector<Var> ahead = p, behind = p;
    ahead[i] = Var::leaf(p[i].value() + direction * h);
    behind[i] = Var::leaf(p[i].value() - direction * h);
    const double numeric = (penalty(ahead).item() - penalty(behind).item()) / (2 * h);
    INFO("parameter ", i);
    CHECK(dot(analytic[i].value(), direction) == doctest::Approx(numeric).epsilon(1e-6));
    CHECK(std::abs(numeric) > 1e-4);
  }
}

TEST_CASE("convolution and pooling explain inputs that do not fit") {
  const Var x = uniform({2, 3, 8, 8}, 1);
  CHECK_THROWS_WITH_AS(conv2d(x, uniform({4, 16, 3, 3}, 2)), doctest::Contains("[conv2d]"), Error);
  CHECK_THROWS_WITH_AS(global_avg_pool2d(counting({2, 3})),
                       "[global_avg_pool2d] expects an input [N, C, H, W], got [2,3]", Error);
  CHECK_THROWS_WITH_AS(upsample_nearest2d(x, 0), "[upsample_nearest2d] the factor must be positive, got 0", Error);
}
