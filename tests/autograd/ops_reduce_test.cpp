#include <doctest/doctest.h>

#include "tests/autograd/slopes.h"

using namespace gradus;
using namespace gradus::testing;

TEST_CASE("max shares the gradient equally among the elements that attain it") {
  const Var x = leaf({3, 1, 3, 2, 3, 0}, {2, 3});
  const double third = 1.0 / 3;
  CHECK(slopes(max(x), x) == Values{third, 0, third, 0, third, 0});
  CHECK(slopes(max(x, {1}), x) == Values{0.5, 0, 0.5, 0, 1, 0});
  CHECK(slopes(min(x, {1}), x) == Values{0, 1, 0, 0, 0, 1});
}

TEST_CASE("the gradient of a sum is a broadcast view, which takes no memory") {
  const Var x = counting({2, 3}), y = sum(x, {1});
  const Var seed = Tensor::from<double>({5, 7}, {2});
  const Tensor g = grad(std::span(&y, 1), std::span(&x, 1), {.seeds = {seed}})[0].value();
  CHECK(g.storage() == seed.value().storage());
  CHECK(g.to_vector<double>() == Values{5, 5, 5, 7, 7, 7});
}

TEST_CASE("a leaf whose gradient arrived as a broadcast view accumulates a second one") {
  const Var x = counting({2, 2});
  sum(x).backward();
  sum(x * 2.0).backward();
  sum(x).backward();
  CHECK(x.grad().to_vector<double>() == Values{4, 4, 4, 4});
}

TEST_CASE("the mean divides by the number of elements it took in") {
  const Var x = counting({2, 3});
  CHECK(slopes(mean(x), x)[0] == doctest::Approx(1.0 / 6));
  CHECK(slopes(mean(x, {0}), x)[5] == doctest::Approx(0.5));
}

TEST_CASE("sum_to the shape it has is the variable itself") {
  const Var x = counting({2, 3});
  CHECK(sum_to(x, {2, 3}).node() == x.node());
  CHECK(slopes(sum_to(x, {3}), x) == Values(6, 1.0));
}
