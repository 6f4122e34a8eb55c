#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "autograd/parameter.h"
#include "core/accelerator.h"
#include "core/error.h"
#include "tests/autograd/slopes.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

template <class T>
concept assigns_by_operation = requires(T to, Var from) {
  to += from;
  to -= from;
  to *= 2.0;
  to /= 2.0;
};

}  // namespace

TEST_CASE("the gradient of a broadcast operand is summed over what it was repeated along") {
  const Var row = leaf({1, 2, 3}), column = leaf({10, 20}, {2, 1}), number = leaf({5}, {});
  const Var y = row * column * number;
  CHECK(slopes(y, row) == Values{(10 + 20) * 5, (10 + 20) * 5, (10 + 20) * 5});
  CHECK(slopes(y, column) == Values{(1 + 2 + 3) * 5, (1 + 2 + 3) * 5});
  CHECK(slopes(y, number) == Values{(1 + 2 + 3) * (10 + 20)});
}

TEST_CASE("maximum and minimum give the whole gradient of a tie to the first operand") {
  const Var a = leaf({1, 2, 3}), b = leaf({2, 2, 2});
  CHECK(slopes(maximum(a, b), a) == Values{0, 1, 1});
  CHECK(slopes(maximum(a, b), b) == Values{1, 0, 0});
  CHECK(slopes(minimum(a, b), a) == Values{1, 1, 0});
  CHECK(slopes(minimum(a, b), b) == Values{0, 0, 1});
}

TEST_CASE("numbers may come first, and have a tie's gradient then") {
  const Var x = leaf({1, 2, 3});
  CHECK(slopes(maximum(2.0, x), x) == Values{0, 0, 1});
  CHECK(slopes(minimum(2.0, x), x) == Values{1, 0, 0});
  const Values powers = slopes(pow(2.0, x), x);
  for (size_t i = 0; i < 3; ++i) CHECK(powers[i] == doctest::Approx(std::log(2) * std::pow(2, 1.0 + i)).epsilon(1e-12));
}

TEST_CASE("assignment by an operation makes a new variable, and leaves what was computed before alone") {
  const Var x = leaf({1, 2, 4}), y = leaf({2, 2, 2});
  Var h = x;
  const Var before = h * h;
  h += y;
  h *= x;
  h -= 1.0;
  h /= y;
  h *= 4.0;
  h /= 2.0;
  h -= x;
  h += 3.0;  // (x + y) x - 1 - x + 3, as y is 2
  CHECK(h.value().to_vector<double>() == Values{4, 8, 22});
  CHECK(slopes(h, x) == Values{3, 5, 9});
  CHECK(slopes(before, x) == Values{2, 4, 8});
  CHECK(x.value().to_vector<double>() == Values{1, 2, 4});
  static_assert(assigns_by_operation<Var> && !assigns_by_operation<Parameter>);
}

TEST_CASE("where an operand of maximum is no number, it is the result and has the gradient") {
  const double nan = std::nan("");
  const Var a = leaf({nan, 1}), b = leaf({0, nan});
  for (const bool largest : {true, false}) {
    const Var y = largest ? maximum(a, b) : minimum(a, b);
    CHECK(slopes(y, a) == Values{1, 0});
    CHECK(slopes(y, b) == Values{0, 1});
  }
}

TEST_CASE("clamp passes the gradient inside its limits and at them") {
  const Var x = leaf({-2, -1, 0, 1, 2});
  CHECK(slopes(clamp(x, -1, 1), x) == Values{0, 1, 1, 1, 0});
  const Var nan = leaf({std::nan("")});
  CHECK(slopes(clamp(nan, -1, 1), nan) == Values{1});
}

TEST_CASE("where gives each operand the gradient of the elements it supplied") {
  const Var a = leaf({1, 2}), b = leaf({3, 4});
  const Var y = where(Tensor::from<bool>({true, false}, {2}), a, b) * 2.0;
  CHECK(slopes(y, a) == Values{2, 0});
  CHECK(slopes(y, b) == Values{0, 2});
}

TEST_CASE("powers at zero have the derivatives of calculus, not 0 * infinity") {
  const Var x = leaf({0, 3});
  CHECK(slopes(pow(x, 0.0), x) == Values{0, 0});
  CHECK(slopes(pow(x, 1.0), x) == Values{1, 1});
  const Values squares = slopes(pow(x, 2.0), x);
  CHECK(squares[0] == 0);
  CHECK(std::abs(squares[1] - 6) <= (device_name() == "cpu" ? 0 : 6e-6));  // a GPU's powf rounds
  const Var first = grad(sum(pow(x, 2.0)), x, {.create_graph = true});
  CHECK(slopes(first, x) == Values{2, 2});

  const Var base = leaf({0, 0, 2}), exponent = leaf({0, 2, 0});
  CHECK(slopes(pow(base, exponent), base) == Values{0, 0, 0});
  CHECK(slopes(pow(base, exponent), exponent) == Values{0, 0, std::log(2.0)});
  const double infinity = std::numeric_limits<double>::infinity();
  const Var zero = leaf({0, 0}), negative = leaf({-1, -2});
  CHECK(slopes(pow(zero, negative), negative) == Values{-infinity, -infinity});
}

TEST_CASE("a quotient differentiates with a constant on either side") {
  const Var x = leaf({2, 4});
  CHECK(slopes(Tensor::from<double>({8, 8}, {2}) / x, x) == Values{-2, -0.5});
  CHECK(slopes(x / Tensor::from<double>({8, 4}, {2}), x) == Values{0.125, 0.25});
}

TEST_CASE("multiplication keeps an operand only for the gradient of the other") {
  // So a change of the constant's partner in place, which would be an error if it were saved, does no harm.
  Var x = leaf({1, 2});
  const Var y = x * Var(Tensor::from<double>({3, 4}, {2}));
  fill_(x.mutable_value(), 9);
  CHECK(slopes(y, x) == Values{3, 4});
}

TEST_CASE("operands that do not broadcast, or differ in dtype, are refused by the operation's name") {
  CHECK_THROWS_WITH_AS(leaf({1, 2}) + leaf({1, 2, 3}), doctest::Contains("[add]"), Error);
  CHECK_THROWS_WITH_AS(leaf({1, 2}) * Var(Tensor::ones({2})), doctest::Contains("[mul]"), Error);
}
