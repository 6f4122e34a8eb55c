#include <doctest/doctest.h>

#include <cmath>

#include "tests/autograd/slopes.h"

using namespace gradus;
using namespace gradus::testing;

TEST_CASE("the first four derivatives of tanh follow from t' = 1 - t^2") {
  const Var x = leaf({0.3});
  const double t = std::tanh(0.3), s = 1 - t * t;
  Var d = tanh(x);
  for (double expected : {s, -2 * t * s, s * (6 * t * t - 2), s * t * (16 - 24 * t * t)}) {
    d = sum(grad(sum(d), x, {.create_graph = true}));
    CHECK(d.item() == doctest::Approx(expected).epsilon(1e-13));
  }
}

TEST_CASE("at their kinks relu and leaky_relu take the slope of the left side, and abs the slope 0") {
  const Var x = leaf({-1, 0, 2});
  CHECK(slopes(relu(x), x) == Values{0, 0, 1});
  CHECK(slopes(leaky_relu(x, 0.25), x) == Values{0.25, 0.25, 1});
  CHECK(slopes(abs(x), x) == Values{-1, 0, 1});
}

TEST_CASE("functions of large arguments have finite gradients in float32") {
  const Var x = Var::leaf(Tensor::from<float>({-200, -30, 30, 200}, {4}));
  for (const Var& y : {tanh(x), sigmoid(x), softplus(x), gelu(x), erf(x)}) CHECK(all_finite(grad(sum(y), x).value()));
  CHECK(grad(sum(softplus(x)), x).value().to_vector<float>()[3] == 1);
  CHECK(grad(sum(gelu(x)), x).value().to_vector<float>()[0] == 0);
}

TEST_CASE("relu keeps its result for the gradient, not its input") {
  // So a change of the input in place, which would be an error if it were saved, does no harm.
  Var x = leaf({-1, 2});
  const Var y = relu(x);
  fill_(x.mutable_value(), 5);
  CHECK(slopes(y, x) == Values{0, 1});
}

TEST_CASE("an operation whose saved input was changed names itself") {
  Var x = leaf({1, 2});
  const Var y = sin(x);
  fill_(x.mutable_value(), 0);
  CHECK_THROWS_WITH(static_cast<void>(slopes(y, x)), doctest::Contains("[sin] a tensor [2] saved for the gradient"));
}
