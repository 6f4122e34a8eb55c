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

TEST_CASE("an operation that saves its own output is differentiable as often as one likes") {
  struct Exp : Function<Exp> {
    static Var forward(SavedTensors& saved, const Var& x) {
      Var y = exp(x);
      saved.save({y});
      return y;
    }
    static Var backward(const SavedTensors& saved, const Var& gy) { return gy * saved[0]; }
  };
  struct Power : Function<Power> {  // x^a, from the output and both inputs
    static Var forward(SavedTensors& saved, const Var& x, const Var& a) {
      Var y = exp(log(x) * a);
      saved.save({x, y, a});
      return y;
    }
    static std::vector<Var> backward(const SavedTensors& saved, const Var& gy) {
      const Var &x = saved[0], &y = saved[1], &a = saved[2];
      return {gy * a * y / x, gy * y * log(x)};
    }
  };
  const auto exponential = [](std::span<const Var> in) { return Exp::apply(in[0]); };
  const auto slope = [](std::span<const Var> in) {
    return grad(sum(Exp::apply(in[0])), in[0], {.create_graph = true});
  };
  const auto power = [](std::span<const Var> in) { return Power::apply(in[0], in[1]); };
  const auto of_view = [](std::span<const Var> in) { return Exp::apply(transpose(in[0], 0, 1)); };
  const std::vector<Var> one = {leaf({-2, -0.3, 0.7})}, two = {leaf({0.4, 1.7}), leaf({2.5, -1.5})},
                         matrix = {Var::leaf(Tensor::from({0.1, 0.2, -0.3, 0.4, 0.5, -0.6}, {2, 3}))};
  for (const auto& result : {gradcheck(exponential, one), gradgradcheck(exponential, one), gradgradcheck(slope, one),
                             gradcheck(power, two), gradgradcheck(power, two), gradgradcheck(of_view, matrix)})
    CHECK_MESSAGE(result.ok, result.message);

  Var y = Exp::apply(one[0]);
  Tensor memory = y.value();
  sum(y).backward({.retain_graph = true});
  y = Var();
  CHECK(memory.storage().unique());  // the node, which keeps its output, does not keep itself
  y = Exp::apply(one[0]);
  memory = y.value();
  fill_(memory, 0);
  CHECK_THROWS_WITH_AS(sum(y).backward(), doctest::Contains("(the output) was changed in place"), Error);
}

TEST_CASE("a constant input that an operation hands through stays a constant") {
  struct First : Function<First> {  // its gradient for y is not what y has, but shows what was saved
    static Var forward(SavedTensors& saved, const Var& x, const Var&) {
      saved.save({x});
      return x;
    }
    static std::vector<Var> backward(const SavedTensors& saved, const Var& gy) { return {Var(), gy * saved[0]}; }
  };
  const Var x = leaf({3}).detach(), y = leaf({2});
  CHECK_FALSE(grad(First::apply(x, y), y, {.create_graph = true}).requires_grad());
}

TEST_CASE("what forward did not save or return is named") {
  struct Careless : Function<Careless> {
    static Var forward(SavedTensors& saved, const Var& x) {
      saved.save({x});
      return x * 2.0;
    }
    static Var backward(const SavedTensors& saved, const Var& gy) { return gy * saved[1]; }
  };
  struct Empty : Function<Empty> {
    static Var forward(SavedTensors&, const Var&) { return {}; }
    static Var backward(const SavedTensors&, const Var& gy) { return gy; }
  };
  CHECK_THROWS_WITH_AS(Careless::apply(leaf({1})).backward(),
                       "[function] forward saved 1 tensors, but saved[1] was asked for", Error);
  CHECK_THROWS_WITH_AS(Empty::apply(leaf({1})), "[function] forward must return a value, but its Var is undefined",
                       Error);
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

TEST_CASE("of several inputs one may have no gradient, and the others get theirs") {
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

TEST_CASE("backward that returns fewer or more gradients than inputs is refused") {
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
      "[function] backward must return one Var for each of the 2 inputs, got 1: use std::vector<Var>, with "
      "undefined ones for \"no gradient\"";
  CHECK_THROWS_WITH_AS(Product::apply(x, y).backward(), message, Error);
  CHECK_THROWS_WITH_AS(Product::apply(x.detach(), y).backward(), message, Error);
  CHECK_THROWS_AS(Twice::apply(x).backward(), Error);
}
