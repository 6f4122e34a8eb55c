#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "core/error.h"
#include "tests/autograd/slopes.h"

using namespace gradus;
using namespace gradus::testing;

TEST_CASE("linear is x times the transposed weight plus the bias, with their gradients") {
  const Var x = leaf({1, 2, 3, 4}, {2, 2}), w = leaf({1, 0, 2, 1, -1, 3}, {3, 2}), b = leaf({10, 20, 30});
  const Var y = linear(x, w, b);
  CHECK(y.value().to_vector<double>() == Values{11, 24, 35, 13, 30, 39});
  CHECK(slopes(y, x) == Values{2, 4, 2, 4});
  CHECK(slopes(y, w) == Values{4, 6, 4, 6, 4, 6});
  CHECK(slopes(y, b) == Values{2, 2, 2});
}

TEST_CASE("linear records one node for any number of dimensions") {
  const Var x = counting({2, 3, 4}), w = counting({5, 4});
  const Var y = linear(x, w);
  CHECK(y.shape() == Shape{2, 3, 5});
  REQUIRE(y.node()->inputs().size() == 3);
  CHECK(y.node()->inputs()[0] == x.node());
  CHECK(y.node()->inputs()[1] == w.node());
  CHECK_FALSE(y.node()->inputs()[2]);
}

TEST_CASE("linear explains features that do not fit") {
  const Var w = counting({10, 784});
  CHECK_THROWS_WITH_AS(
      linear(counting({2, 28}), w),
      "[linear] weight [10,784] expects 784 input features in the last dimension, but input is [2,28]. "
      "Is a flatten() missing?",
      Error);
  CHECK_THROWS_WITH_AS(linear(counting({2, 784}), w, counting({2})), doctest::Contains("expects a bias [10], got [2]"),
                       Error);
  CHECK_THROWS_WITH_AS(linear(counting({2, 4}), counting({4})), doctest::Contains("weight must be [out, in]"), Error);
  CHECK_THROWS_WITH_AS(linear(counting({2, 784}), cast(w, DType::float32)),
                       "[linear] the weight is float32, but the input float64. Convert it with cast()", Error);
  CHECK_THROWS_WITH_AS(linear(Var(), w), doctest::Contains("[linear] the input is an undefined tensor"), Error);
  CHECK_THROWS_WITH_AS(linear(w, Var()), doctest::Contains("[linear] the weight is an undefined tensor"), Error);
}

TEST_CASE("gather adds the gradients of an element that was taken twice") {
  const Var x = counting({3, 1});
  const Var y = gather(x, 0, Tensor::from<int64_t>({2, 0, 2}, {3, 1}));
  CHECK(slopes(y * Var(Tensor::from<double>({1, 10, 100}, {3, 1})), x) == Values{10, 0, 101});
}

TEST_CASE("a matrix that multiplies every matrix of a batch sums their gradients") {
  const Var a = counting({2, 1, 2}), b = leaf({1, 2}, {2, 1});
  CHECK(slopes(matmul(a, b), b) == Values{0 + 2, 1 + 3});
}

TEST_CASE("attention takes the mean of the values that are seen where all keys agree") {
  const Var query = counting({3, 2}), key = leaf({1, 1}, {1, 2}), value = leaf({1, 2, 6}, {3, 1});
  const Var same = expand(key, {3, 2});
  const auto y = [&](const AttentionOptions& options) {
    return attention(query, same, value, options).value().to_vector<double>();
  };
  // A third is rounded, and so is each of three products and of their sums: by half an ulp, or one on a GPU.
  const auto check_near = [](const Values& got, const Values& expected) {
    REQUIRE(got.size() == expected.size());
    for (size_t i = 0; i < got.size(); ++i) {
      CAPTURE(i);
      CHECK(std::abs(got[i] - expected[i]) <= 4 * std::numeric_limits<double>::epsilon() * expected[i]);
    }
  };
  check_near(y({}), {3, 3, 3});
  check_near(y({.causal = true, .mask = {}}), {1, 1.5, 3});
  const Tensor not_the_first = Tensor::from<bool>({true, false, true, false, true, true, false, true, true}, {3, 3});
  CHECK(y({.mask = not_the_first}) == Values{3.5, 4, 4});
  CHECK(y({.causal = true, .mask = Tensor::from<bool>({true, false, true}, {3})}) == Values{1, 1, 3.5});
}

TEST_CASE("a query that sees no key gets 0 and gives no gradient, the others theirs") {
  const Var query = counting({3, 2}), key = counting({3, 2}), value = leaf({1, 2, 6}, {3, 1});
  const AttentionOptions padded{.causal = true, .mask = Tensor::from<bool>({false, true, true}, {3})};
  const Var y = attention(query, key, value, padded);
  CHECK(y.value().to_vector<double>()[0] == 0);
  CHECK(y.value().to_vector<double>()[1] == 2);
  for (const Var& input : {query, key, value}) {
    const Values all = slopes(y, input);
    const Values used = slopes(slice(y, 0, 1, 3), input);
    CHECK(all == used);
    for (const double slope : all) CHECK(std::isfinite(slope));
  }
  CHECK(slopes(y, value)[0] == 0);
}

TEST_CASE("attention explains operands that do not fit") {
  const auto refused = [](const Var& query, const Var& key, const Var& value, const char* got) {
    CHECK_THROWS_WITH_AS(attention(query, key, value), doctest::Contains(got), Error);
  };
  const Var x = counting({4, 3});
  refused(
      x, counting({4, 2}), x,
      "[attention] expects a query [..., t, d], a key [..., s, d] and a value [..., s, e], got [4,3], [4,2] and [4,3]");
  refused(x, x, counting({5, 3}), "and [5,3]");
  refused(counting({3}), x, x, "got [3], ");
  refused(Var(Tensor::zeros({4, 0})), Var(Tensor::zeros({4, 0})), x, "got [4,0], [4,0] and [4,3]");
  CHECK_THROWS_WITH_AS(attention(x, x, x, {.mask = Tensor::ones({4, 4})}),
                       "[attention] the mask is boolean, true where a key is seen, got float32: greater(mask, 0.0)",
                       Error);
  CHECK_THROWS_WITH_AS(attention(x, x, x, {.mask = Tensor::ones({3}, DType::boolean)}),
                       doctest::Contains("[attention] "), Error);
  refused(Var(), x, x, "[attention] the query is an undefined tensor");
  refused(x, Var(), x, "[attention] the key is an undefined tensor");
  refused(x, x, Var(), "[attention] the value is an undefined tensor");
}
