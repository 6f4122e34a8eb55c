#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "autograd/ops.h"
#include "core/error.h"
#include "tests/autograd/slopes.h"

using namespace gradus;
using gradus::testing::slopes;

namespace {

Tensor of(std::vector<double> values, const Shape& shape) { return Tensor::from(values, shape); }
Tensor actions() { return Tensor::from<int64_t>({0, 1, 0, 1}, {4}); }

}  // namespace

TEST_CASE("ppo_loss takes the smaller of the plain and the clipped surrogate, and no gradient where that is clipped") {
  // Even odds everywhere, so the ratio is 0.5 / old: 1 and 2 with advantages of either sign.
  const Var logits = Var::leaf(Tensor::zeros({4, 2}, DType::float64));
  const Tensor old = of({std::log(0.5), std::log(0.25), std::log(0.5), std::log(0.25)}, {4});
  const Var loss = ppo_loss(logits, actions(), old, of({3, 3, -3, -3}, {4}), 0.2);
  CHECK(loss.item() == doctest::Approx(-(3 + 1.2 * 3 - 3 - 2 * 3) / 4).epsilon(1e-14));
  // d loss / dz_j = -A / 4 r (1{j = a} - 1/2); the second sample is clipped.
  const std::vector<double> expected = {-0.375, 0.375, 0, 0, 0.375, -0.375, -0.75, 0.75};
  const std::vector<double> g = slopes(loss, logits);
  for (size_t i = 0; i < g.size(); ++i) CHECK(g[i] == doctest::Approx(expected[i]).epsilon(1e-14));
}

TEST_CASE("gaussian_ppo_loss has the density of independent normal distributions") {
  const Var mean = Var::leaf(of({0, 1}, {1, 2})), variance = Var::leaf(of({1, 4}, {1, 2}));
  const double log_density = -0.5 * (std::log(2 * std::numbers::pi) + 0.25 + std::log(8 * std::numbers::pi) + 1.0 / 4);
  const Var loss = gaussian_ppo_loss(mean, variance, of({0.5, 2}, {1, 2}), of({log_density - 0.1}, {1}), of({2}, {1}));
  CHECK(loss.item() == doctest::Approx(-2 * std::exp(0.1)).epsilon(1e-14));
}

TEST_CASE("what a policy's loss was told is kept for the gradient, and a change of it is noticed") {
  const Var logits = Var::leaf(Tensor::zeros({4, 2}, DType::float64));
  for (const size_t changed : {0, 1}) {
    std::vector<Tensor> told{Tensor::zeros({4}, DType::float64), Tensor::ones({4}, DType::float64)};
    const Var loss = ppo_loss(logits, actions(), told[0], told[1]);
    const Var gaussian = gaussian_ppo_loss(logits, Tensor::ones({4, 2}, DType::float64),
                                           Tensor::zeros({4, 2}, DType::float64), told[0], told[1]);
    fill_(told[changed], 3);
    CHECK_THROWS_WITH(static_cast<void>(slopes(loss, logits)), doctest::Contains("[ppo_loss] a tensor [4] saved"));
    CHECK_THROWS_WITH(static_cast<void>(slopes(gaussian, logits)),
                      doctest::Contains("[gaussian_ppo_loss] a tensor [4] saved"));
  }
}

TEST_CASE("gaussian_nll_loss is half of log variance and squared deviation over variance") {
  const Var mean = Var::leaf(of({1, 2}, {2})), variance = Var::leaf(of({1, 4}, {2}));
  const Var loss = gaussian_nll_loss(mean, variance, of({3, 2}, {2}));
  CHECK(loss.item() == doctest::Approx((4 + std::log(4)) / 4).epsilon(1e-14));
}

TEST_CASE("losses of policies and densities explain shapes that do not fit") {
  const Var logits = Var::leaf(Tensor::zeros({4, 2}, DType::float64));
  const Tensor four = Tensor::ones({4}, DType::float64), three = Tensor::ones({3}, DType::float64);
  CHECK_THROWS_WITH_AS(ppo_loss(logits, Tensor::from<int64_t>({0, 1, 2, 1}, {4}), four, four),
                       doctest::Contains("[ppo_loss] label 2 at position 2 is not in [0, 2)"), Error);
  CHECK_THROWS_WITH_AS(
      ppo_loss(logits, actions(), four, three),
      doctest::Contains("one log-probability and one advantage per sample, [4], but one of them is [3]"), Error);
  CHECK_THROWS_WITH_AS(ppo_loss(logits, actions(), four, four, 1.5),
                       doctest::Contains("clip must be in (0, 1), got 1.5"), Error);
  CHECK_THROWS_AS(ppo_loss(logits, actions(), four, four, 1), Error);
  CHECK_THROWS_WITH_AS(gaussian_ppo_loss(logits, Tensor::ones({2}, DType::float64), logits.value(), four, four),
                       doctest::Contains("must all be [N, A], got [4,2], [2] and [4,2]"), Error);
  CHECK_THROWS_WITH_AS(gaussian_nll_loss(logits, logits, four),
                       doctest::Contains("must have the same shape, got [4,2], [4,2] and [4]"), Error);
}
