#include <doctest/doctest.h>

#include <cmath>

#include "core/error.h"
#include "core/random.h"
#include "tests/autograd/slopes.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

Var images() { return Var::leaf(random_normal({4, 6, 3, 3}, 1, 2, {.seed = 1}, DType::float64)); }

/// Largest difference of two tensors.
double apart(const Tensor& a, const Tensor& b) { return max(gradus::abs(a - b)).item(); }

}  // namespace

TEST_CASE("batch_norm reports the mean and the biased variance of the batch") {
  const Var x = leaf({1, 3, 5, 7, 10, 10, 10, 10}, {4, 2});  // columns 1 5 10 10 and 3 7 10 10
  BatchStatistics statistics;
  batch_norm(x, {}, {}, 1e-5, &statistics);
  CHECK(statistics.mean.to_vector<double>() == Values{6.5, 7.5});
  const Values variance = statistics.variance.to_vector<double>();
  CHECK(variance[0] == doctest::Approx((30.25 + 2.25 + 12.25 + 12.25) / 4).epsilon(1e-13));
  CHECK(variance[1] == doctest::Approx((20.25 + 0.25 + 6.25 + 6.25) / 4).epsilon(1e-13));
}

TEST_CASE("the variance of constant channels is never reported below zero") {
  const Var x = Var::leaf(Tensor::full({8, 2, 2, 2}, 3.3));
  BatchStatistics statistics;
  batch_norm(x, {}, {}, 1e-5, &statistics);
  for (float v : statistics.variance.to_vector<float>()) {
    CHECK(v >= 0);
    CHECK(v < 1e-11f);  // a few roundings of eps
  }
}

TEST_CASE("batch_norm_apply with the batch's own statistics gives what batch_norm gave") {
  const Var x = images(), w = counting({6}), b = counting({6});
  BatchStatistics statistics;
  const Var y = batch_norm(x, w, b, 1e-3, &statistics);
  CHECK(apart(y.value(), batch_norm_apply(x, w, b, statistics.mean, statistics.variance, 1e-3).value()) < 1e-12);
}

TEST_CASE("group_norm with one group per channel is a batch_norm of single images, and with one group a layer_norm") {
  const Var x = images();
  const Var first = slice(x, 0, 0, 1);
  CHECK(apart(group_norm(first, 6, {}, {}, 0.1).value(), batch_norm(first, {}, {}, 0.1).value()) < 1e-12);
  CHECK(apart(group_norm(x, 1, {}, {}, 0.1).value(), layer_norm(x, {6, 3, 3}, {}, {}, 0.1).value()) < 1e-12);
}

TEST_CASE("group_norm keeps the memory order of its input") {
  const Var x = Var::leaf(contiguous(images().value(), Layout::channels_last));
  CHECK(group_norm(x, 3, {}, {}, 0.1).value().is_channels_last());
}

TEST_CASE("statistics written over before the gradient are noticed") {
  const Var x = images();
  BatchStatistics statistics;
  const Var y = batch_norm(x, {}, {}, 0.1, &statistics);
  fill_(statistics.mean, 0);
  CHECK_THROWS_WITH(static_cast<void>(slopes(y, x)), doctest::Contains("[batch_norm] a tensor [6] saved"));
}

TEST_CASE("normalizations explain shapes that do not fit") {
  const Var x = images(), five = counting({5});
  CHECK_THROWS_WITH_AS(
      group_norm(x, 4, {}, {}, 0.1),
      doctest::Contains("[group_norm] input [N, C, ...] needs a number of channels that 4 groups divide, "
                        "got [4,6,3,3]"),
      Error);
  CHECK_THROWS_WITH_AS(group_norm(x, 3, five, {}, 0.1),
                       doctest::Contains("[group_norm] the weight needs shape [6], got [5]"), Error);
  CHECK_THROWS_WITH_AS(layer_norm(x, {3, 4}, {}, {}, 0.1),
                       doctest::Contains("[layer_norm] the normalized shape [3,4] must be the last dimensions"), Error);
  CHECK_THROWS_WITH_AS(layer_norm(x, {3, 3}, five, {}, 0.1),
                       doctest::Contains("weight and bias must have the normalized shape [3,3], but one is [5]"),
                       Error);
  CHECK_THROWS_WITH_AS(batch_norm(x, five, {}, 0.1), doctest::Contains("[batch_norm]"), Error);
}
