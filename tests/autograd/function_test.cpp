#include "autograd/function.h"

#include <doctest/doctest.h>

#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "core/error.h"

using namespace gradus;

namespace {

struct Swish : Function<Swish> {
  static Var forward(SavedTensors& saved, const Var& x) {
    saved.save({x});
    return x * sigmoid(x);
  }
  static Var backward(const SavedTensors& saved, const Var& gy) {
    const Var x = saved[0], s = sigmoid(x);
    return gy * (s + x * s * (1 - s));
  }
};

struct ScaledDifference : Function<ScaledDifference> {  // a (x - y), a gradient for x and y only
  static Var forward(SavedTensors& saved, const Var& a, const Var& x, const Var& y) {
    saved.save({a});
    return a * (x - y);
  }
  static std::vector<Var> backward(const SavedTensors& saved, const Var& gy) {
    return {Var(), gy * saved[0], -(gy * saved[0])};
  }
};

Var leaf(std::initializer_list<double> values) {
  return Var::leaf(Tensor::from(values, {static_cast<int64_t>(values.size())}));
}

}  // namespace

TEST_CASE("a user's operation is differentiable twice") {
  const auto f = [](std::span<const Var> in) { return Swish::apply(in[0]); };
  const auto first = gradcheck(f, {leaf({-2, -0.3, 0.7, 1.9})});
  CHECK_MESSAGE(first.ok, first.message);
  const auto second = gradgradcheck(f, {leaf({-2, -0.3, 0.7, 1.9})});
  CHECK_MESSAGE(second.ok, second.message);
}

TEST_CASE("a wrong gradient is found") {
  struct Wrong : Function<Wrong> {
    static Var forward(SavedTensors& saved, const Var& x) {
      saved.save({x});
      return x * x;
    }
    static Var backward(const SavedTensors& saved, const Var& gy) { return gy * saved[0] * 2.00001; }
  };
  CHECK_FALSE(gradcheck([](std::span<const Var> in) { return Wrong::apply(in[0]); }, {leaf({1, 2})}).ok);
}

TEST_CASE("several inputs, one of them without a gradient") {
  const Var a = leaf({2, 3}), x = leaf({5, 7}), y = leaf({1, 1});
  const Var out = ScaledDifference::apply(a, x, y);
  CHECK(out.value().to_vector<double>() == std::vector<double>{8, 18});
  sum(out).backward();
  CHECK(x.grad().to_vector<double>() == std::vector<double>{2, 3});
  CHECK(y.grad().to_vector<double>() == std::vector<double>{-2, -3});
  CHECK_FALSE(a.grad().defined());
}

TEST_CASE("what a user's operation saved is guarded by its version") {
  const Var x = leaf({1, 2}), y = Swish::apply(x);
  Tensor memory = x.value();
  fill_(memory, 0);
  CHECK_THROWS_AS(sum(y).backward(), Error);
}

TEST_CASE("a gradient for each input, or none at all") {
  struct Product : Function<Product> {
    static Var forward(SavedTensors&, const Var& x, const Var& y) { return x * y; }
    static Var backward(const SavedTensors&, const Var& gy) { return gy; }
  };
  struct Twice : Function<Twice> {
    static Var forward(SavedTensors&, const Var& x) { return x * 2.0; }
    static std::vector<Var> backward(const SavedTensors&, const Var& gy) { return {gy * 2.0, gy}; }
  };
  const Var x = leaf({1}), y = leaf({2});
  const char* message =
      "[function] backward must return one Var for each of the 2 inputs, but 1 came: use std::vector<Var>, with "
      "undefined ones for \"no gradient\"";
  CHECK_THROWS_WITH_AS(Product::apply(x, y).backward(), message, Error);
  CHECK_THROWS_WITH_AS(Product::apply(x.detach(), y).backward(), message, Error);
  CHECK_THROWS_AS(Twice::apply(x).backward(), Error);
}
