#include <doctest/doctest.h>

#include "core/error.h"
#include "tests/autograd/slopes.h"

using namespace gradus;
using namespace gradus::testing;

TEST_CASE("the gradient of a view of a view arrives at the elements it shows") {
  const Var x = counting({3, 4});
  // Column 3 and column 1, rows 1 and 2: 5, 9, 7, 11, of which the last two count ten times.
  const Var columns = transpose(slice(x, 1, 1, 4, 2), 0, 1);
  const Var y = slice(columns, 1, 1, 3) * Var(Tensor::from<double>({1, 10}, {2, 1}));
  CHECK(y.value().to_vector<double>() == Values{5, 9, 70, 110});
  CHECK(slopes(y, x) == Values{0, 0, 0, 0, 0, 1, 0, 10, 0, 1, 0, 10});
}

TEST_CASE("overlapping views of one variable add their gradients") {
  const Var x = counting({4});
  CHECK(slopes(slice(x, 0, 0, 3) + slice(x, 0, 1, 4), x) == Values{1, 2, 2, 1});
}

TEST_CASE("many parts of one variable add their gradients in place, and those of others stay as they are") {
  const Var x = counting({4, 2}), other = counting({4, 2});
  // The sum passes one gradient to both, before and after the parts of x add theirs.
  Var y = sum(x + other) + sum(embedding(x, Tensor::from<int64_t>({3, 0, 3}, {3})));
  for (int64_t i = 0; i < 4; ++i) y = y + sum(select(x, 0, i)) * static_cast<double>(i);
  y = y + sum(slice(x, 1, 1, 2)) * 10.0 + sum(gather(x, 0, Tensor::zeros({1, 2}, DType::int64))) * 100.0;
  y = y + sum(index_select(x, 1, Tensor::from<int64_t>({0, 0}, {2}))) * 1000.0 + sum(x + other);
  CHECK(slopes(y, other) == Values(8, 2));
  const Values expected = {2103, 113, 2003, 13, 2004, 14, 2007, 17};
  CHECK(slopes(y, x) == expected);
  const Var recorded = grad(y, x, {.create_graph = true, .retain_graph = true});
  CHECK(recorded.value().to_vector<double>() == expected);
  y.backward({.retain_graph = true});
  CHECK(x.grad().to_vector<double>() == expected);
  CHECK(other.grad().to_vector<double>() == Values(8, 2));
}

TEST_CASE("split, chunk and unbind cut what concat and stack join, with their gradients") {
  const Var x = counting({2, 6});
  const std::vector<Var> parts = split(x, {1, 0, 3, 2}, 1);
  REQUIRE(parts.size() == 4);
  CHECK(parts[2].value().to_vector<double>() == Values{1, 2, 3, 7, 8, 9});
  CHECK(concat(parts, -1).value().to_vector<double>() == x.value().to_vector<double>());
  CHECK(slopes(sum(parts[0]) + sum(parts[3]) * 2.0, x) == Values{1, 0, 0, 0, 2, 2, 1, 0, 0, 0, 2, 2});
  const std::vector<Var> halves = chunk(x, 2, -1);
  CHECK(slopes(halves[0] * halves[1], x) == Values{3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8});
  const std::vector<Var> rows = unbind(x, 0);
  REQUIRE(rows.size() == 2);
  CHECK(rows[1].value().to_vector<double>() == Values{6, 7, 8, 9, 10, 11});
  CHECK(slopes(stack(rows, 0) * x, x) == slopes(x * x, x));
}

TEST_CASE("concat with a constant part gives the other parts their slices of the gradient") {
  const Var x = counting({2, 1}), z = counting({2, 2});
  const Var y = concat({x, Tensor::ones({2, 3}, DType::float64), z}, 1);
  const Var weights = reshape(Tensor::arange(12, DType::float64), {2, 6});
  CHECK(slopes(y * weights, x) == Values{0, 6});
  CHECK(slopes(y * weights, z) == Values{4, 5, 10, 11});
}

TEST_CASE("stack gives each part its place of the gradient") {
  const Var a = counting({2}), b = counting({2});
  const Var weights = Tensor::from<double>({1, 2, 3, 4}, {2, 2});
  CHECK(slopes(stack({a, b}, 1) * weights, a) == Values{1, 3});
  CHECK(slopes(stack({a, b}, 1) * weights, b) == Values{2, 4});
}

TEST_CASE("the gradient of a slice of a channels-last activation stays channels-last") {
  const Var x = Var::leaf(contiguous(Tensor::ones({2, 4, 3, 3}), Layout::channels_last));
  const Var y = slice(x, 0, 0, 1);
  const Var seed = contiguous(Tensor::ones(y.shape()), Layout::channels_last);
  CHECK(grad(std::span(&y, 1), std::span(&x, 1), {.seeds = {seed}})[0].value().is_channels_last());
}

TEST_CASE("contiguous of a contiguous variable is the variable itself") {
  const Var x = counting({2, 3});
  CHECK(contiguous(x).node() == x.node());
}

TEST_CASE("cast returns the gradient in the dtype that came, and differentiates twice") {
  const Var x = Var::leaf(Tensor::from<float>({0.5f, -2.0f}, {2}));
  const Var wide = cast(x, DType::float64);
  CHECK(wide.dtype() == DType::float64);
  const Var first = grad(sum(wide * wide * wide), x, {.create_graph = true});
  CHECK(first.dtype() == DType::float32);
  CHECK(first.value().to_vector<float>() == std::vector<float>{0.75f, 12.0f});
  CHECK(grad(sum(first), x).value().to_vector<float>() == std::vector<float>{3.0f, -12.0f});
}

TEST_CASE("a variable that requires a gradient has no cast to an integer dtype") {
  CHECK_THROWS_WITH_AS(cast(counting({2}), DType::int64),
                       doctest::Contains("[cast] a variable that requires a gradient"), Error);
  CHECK(cast(counting({2}).detach(), DType::int64).dtype() == DType::int64);
}
