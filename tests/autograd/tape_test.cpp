// The tape itself: what is recorded, in which order it is walked, what is freed, what is refused.
#include <doctest/doctest.h>

#include <sstream>

#include <stdexcept>

#include "autograd/ops.h"
#include "autograd/record.h"
#include "core/error.h"

using namespace gradus;

namespace {

Var scalar(double value) { return Var::leaf(Tensor::full({}, value, DType::float64)); }

}  // namespace

TEST_CASE("backward accumulates in leaves, over several calls") {
  const Var x = scalar(3);
  (x * x).backward();
  CHECK(x.grad().item() == 6);
  (x * 2.0).backward();
  CHECK(x.grad().item() == 8);
  x.clear_grad();
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("a variable used twice receives both contributions") {
  const Var x = scalar(2), y = x * x;
  (y * x + y).backward();  // x^3 + x^2
  CHECK(x.grad().item() == 3 * 4 + 2 * 2);
}

TEST_CASE("grad returns gradients of leaves and intermediates and touches no leaf") {
  const Var x = scalar(2), y = x * x, z = y * y;
  const auto g = grad(z, {x, y});
  CHECK(g[0].item() == 4 * 8);
  CHECK(g[1].item() == 2 * 4);
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("an input that is also an output and one behind another are both right") {
  const Var x = scalar(2), y = x * 3.0;
  const auto g = grad(y, {y, x});
  CHECK(g[0].item() == 1);
  CHECK(g[1].item() == 3);
}

TEST_CASE("outputs are summed and seeds weigh them") {
  const Var x = scalar(2);
  const std::vector<Var> outputs{x * x, x * 5.0};
  CHECK(grad(outputs, std::vector<Var>{x}, {.retain_graph = true})[0].item() == 4 + 5);
  const Var seed(Tensor::full({}, 10, DType::float64)), none(Tensor::full({}, 0, DType::float64));
  CHECK(grad(outputs, std::vector<Var>{x}, {.seeds = {none, seed}})[0].item() == 50);
}

TEST_CASE("create_graph differentiates the gradient, as often as one likes") {
  const Var x = scalar(3);
  Var d = x * x * x * x;
  for (double expected : {4.0 * 27, 12.0 * 9, 24.0 * 3, 24.0}) {
    d = grad(d, x, {.create_graph = true});
    CHECK(d.item() == doctest::Approx(expected).epsilon(1e-12));
  }
}

TEST_CASE("a variable is shown as its value") {
  std::ostringstream shown, value;
  const Var x = scalar(2);
  shown << x << ' ' << Var();
  value << x.value() << ' ' << Tensor();
  CHECK(shown.str() == value.str());
}

TEST_CASE("a second walk needs retain_graph") {
  const Var x = scalar(3), y = x * x;
  y.backward({.retain_graph = true});
  y.backward();
  CHECK(x.grad().item() == 12);
  CHECK_THROWS_WITH_AS(y.backward(),
                       "[backward] what 'mul' saved for its gradient is gone: this graph was walked before. Pass "
                       "{.retain_graph = true} to the first walk, or detach() what a state carries over from the step "
                       "before",
                       Error);
}

TEST_CASE("nothing is recorded under NoGrad, and constants record nothing") {
  const Var x = scalar(1);
  {
    const NoGrad guard;
    CHECK_FALSE((x * x).requires_grad());
    CHECK_FALSE(recording());
  }
  CHECK(recording());
  CHECK((x * x).requires_grad());
  CHECK_FALSE((x.detach() * x.detach()).requires_grad());
}

TEST_CASE("a frozen leaf is a constant to every operation, in all copies, until it is thawed") {
  const Var x = scalar(3), w = scalar(2), copy = w;
  (x * w).backward();
  CHECK(w.grad().item() == 3);
  const Var before = x * w;
  w.set_curvature(Tensor::full({}, 1, DType::float64));
  copy.set_requires_grad(false);
  CHECK_FALSE(w.requires_grad());
  CHECK(w.is_leaf());
  CHECK_FALSE(w.grad().defined());
  CHECK_FALSE(w.curvature().defined());
  CHECK_FALSE((w * w).requires_grad());
  x.clear_grad();
  const Var y = x * w;
  REQUIRE(y.requires_grad());
  CHECK_FALSE(y.node()->inputs()[1]);
  y.backward();
  CHECK(x.grad().item() == 2);
  CHECK_FALSE(w.grad().defined());
  CHECK_THROWS_WITH_AS(grad(x * w, w),
                       "[grad] input 0 of 1, of shape [], does not require a gradient: if it is frozen, leave it out",
                       Error);
  before.backward();  // recorded before
  CHECK(w.grad().item() == 3);
  w.set_requires_grad(true);
  (x * copy).backward();
  CHECK(w.grad().item() == 6);
  CHECK_THROWS_WITH_AS((x * w).set_requires_grad(false),
                       "[set_requires_grad] only a leaf can be frozen; cut a graph at a result with detach()", Error);
}

TEST_CASE("a tensor saved for the gradient must not change") {
  const Var x = scalar(2);
  const Var y = x * x;
  Tensor memory = x.value();
  fill_(memory, 5);
  CHECK_THROWS_WITH_AS(
      y.backward(),
      "[mul] a tensor [] saved for the gradient (an input) was changed in place since: it is at version "
      "1, expected 0. Clone it before the in-place change; a step of an optimizer is one too",
      Error);
}

TEST_CASE("an output saved for the gradient must not change") {
  const Var x = scalar(2);
  const Var y = exp(x);
  Tensor memory = y.value();
  fill_(memory, 5);
  CHECK_THROWS_AS(y.backward(), Error);
}

TEST_CASE("hooks see the complete gradient and may replace it") {
  const Var x = scalar(2), y = x * x;
  double seen = 0;
  y.on_grad([&](const Var& g) {
    seen = g.item();
    return g * 10.0;
  });
  (y * 3.0 + y * 4.0).backward();
  CHECK(seen == 7);
  CHECK(x.grad().item() == 7 * 10 * 4);
}

TEST_CASE("hooks of leaves run too and may only watch") {
  const Var x = scalar(2);
  int calls = 0;
  x.on_grad([&](const Var&) {
    ++calls;
    return Var();
  });
  (x * x).backward();
  CHECK(calls == 1);
  CHECK(x.grad().item() == 4);
}

TEST_CASE("a chain of one million operations is walked and freed without recursion") {
  const size_t before = memory_statistics().in_use;
  {
    const Var x = scalar(1);
    Var y = x;
    for (int i = 0; i < 1'000'000; ++i) y = y + 1.0;
    CHECK(y.item() == 1'000'001);
    y.backward();
    CHECK(x.grad().item() == 1);
  }
  CHECK(memory_statistics().in_use == before);
}

TEST_CASE("a long chain that saves its tensors is freed without recursion and without a walk") {
  const size_t before = memory_statistics().in_use;
  {
    const Var x = scalar(1);
    Var y = x;
    for (int i = 0; i < 200'000; ++i) y = y * x;
  }
  CHECK(memory_statistics().in_use == before);
}

TEST_CASE("saved tensors are freed during the walk") {
  const Var x = Var::leaf(Tensor::ones({1 << 16}));
  Var y = exp(x);
  for (int i = 0; i < 8; ++i) y = exp(y * 1e-3);
  const Var loss = sum(y);
  y = Var();
  const size_t before = memory_statistics().in_use;
  loss.backward();
  // Eight saved outputs of 256 KiB went; a gradient of 256 KiB came.
  CHECK(memory_statistics().in_use <= before - 7 * (size_t{1} << 18));
}

TEST_CASE("a gradient that cannot be taken, of the variable or by it, is refused with the reason") {
  const Var x = Var::leaf(Tensor::ones({2})), constant = Tensor::ones({2});
  CHECK_THROWS_WITH_AS((x * 1.0).backward(),
                       "[backward] needs a single element (a loss), got [2]. Reduce it with sum() or mean(), "
                       "or pass a seed of this shape",
                       Error);
  CHECK_THROWS_WITH_AS(
      sum(constant).backward(),
      "[backward] this variable depends on nothing that requires a gradient. Was it computed under NoGrad, "
      "from frozen parameters, or by grad() without .create_graph?",
      Error);
  CHECK_THROWS_WITH_AS(grad(sum(x), Var::leaf(Tensor::ones({2}))),
                       "[grad] input 0 does not influence the outputs. Pass {.allow_unused = true} for an undefined "
                       "gradient",
                       Error);
  CHECK_FALSE(grad(sum(x), Var::leaf(Tensor::ones({2})), {.allow_unused = true}).defined());
  CHECK_THROWS_WITH_AS(grad(sum(x), constant),
                       "[grad] input 0 of 1, of shape [2], does not require a gradient: if it is frozen, leave it out",
                       Error);
  CHECK_THROWS_WITH_AS(grad(x * 1.0, x), "[grad] output 0 has shape [2]: give seeds, or reduce it to a single element",
                       Error);
  CHECK_THROWS_WITH_AS(Var::leaf(Tensor::arange(2)), "[leaf] only floating tensors have gradients, got int64", Error);
  CHECK_THROWS_AS((x * 2.0).grad(), Error);
  CHECK_THROWS_AS(constant.on_grad([](const Var& g) { return g; }), Error);
  CHECK_THROWS_WITH_AS(x.on_grad(nullptr), "[on_grad] expects a function, got an empty one", Error);
  CHECK_THROWS_WITH_AS(Var::leaf(Tensor()), doctest::Contains("[leaf] the value is an undefined tensor"), Error);
  CHECK_THROWS_WITH_AS((x * 1.0).backward(Tensor::ones({3}), {}),
                       "[backward] the gradient of 'mul' must have its shape [2], got [3]", Error);
}

TEST_CASE("a hook may walk nodes of the walk that calls it") {
  for (const bool fails : {false, true}) {
    const Var w = scalar(3), x = scalar(5), square = w * w, shared = square * x;
    const Var loss = shared * square + w, other = square * w;  // x w^4 + w, w^3
    double inner = 0;
    shared.on_grad([&](const Var&) {
      inner = grad(other, w, {.retain_graph = true}).item();
      if (fails) CHECK_THROWS_AS(grad(other, {w, scalar(1)}, {.retain_graph = true}), Error);
      return Var();
    });
    loss.backward();
    CHECK(inner == 27);
    CHECK(w.grad().item() == 5 * 4 * 27 + 1);
    CHECK(x.grad().item() == 81);
    const Var w2 = scalar(3), y = w2 * w2, twice = w2 * 2.0;
    y.on_grad([&](const Var&) {
      twice.backward({.retain_graph = true});
      return Var();
    });
    CHECK(grad(y * w2, w2).item() == 27);
    CHECK(w2.grad().item() == 2);
  }
}

TEST_CASE("a walk inside a walk may end by an exception in its middle") {
  const Var w = scalar(3), square = w * w, loss = square * w, other = w * 2.0;
  bool armed = false;
  w.on_grad([&](const Var&) {
    if (armed) throw std::runtime_error("in the inner walk");
    return Var();
  });
  square.on_grad([&](const Var&) {
    armed = true;
    CHECK_THROWS_AS(grad(other, w), std::runtime_error);
    armed = false;
    return Var();
  });
  loss.backward();
  CHECK(w.grad().item() == 27);
}

TEST_CASE("a value that is set reaches all copies and the tape") {
  const Var x = Var::leaf(Tensor::from<double>({1, 2}, {2})), copy = x;
  const Var y = sum(square(x));
  x.set_value(Tensor::from<double>({3, 4}, {2}));
  CHECK(copy.value().to_vector<double>() == std::vector<double>{3, 4});
  CHECK_THROWS_AS(y.backward(), Error);  // it saved the old one
  sum(square(copy)).backward();
  CHECK(x.grad().to_vector<double>() == std::vector<double>{6, 8});
  CHECK_THROWS_WITH_AS(x.set_value(Tensor::zeros({1}, DType::float64)),
                       "[set_value] the variable is [2], but its value [1]", Error);
  CHECK_THROWS_WITH_AS(x.set_value(Tensor::zeros({2})), "[set_value] the variable is float64, but its value float32",
                       Error);
  CHECK_THROWS_AS(Var().set_value(Tensor::zeros({2})), Error);
  CHECK_THROWS_WITH_AS(Var().backward(), "[backward] this variable is undefined. Was it moved from?", Error);
}

TEST_CASE("gradients that are set or replaced need the variable's shape and dtype") {
  const Var x = Var::leaf(Tensor::ones({2}));
  CHECK_THROWS_WITH_AS(x.set_grad(Tensor::ones({3})),
                       "[set_grad] the gradient of 'leaf' must have its shape [2], got [3]", Error);
  CHECK_THROWS_WITH_AS(x.set_grad(Tensor::ones({2}, DType::float64)),
                       "[set_grad] the gradient of 'leaf' must be float32, got float64", Error);
  CHECK_THROWS_WITH_AS(x.set_curvature(Tensor::ones({1})),
                       "[set_curvature] the curvature of 'leaf' must have its shape [2], got [1]", Error);
  x.set_grad(Tensor::ones({2}));
  x.set_grad({});
  CHECK_FALSE(x.grad().defined());
  const Var y = x * 2.0, z = x * 3.0;
  y.on_grad([](const Var& g) { return sum(g); });
  z.on_grad([](const Var& g) { return cast(g, DType::float64); });
  CHECK_THROWS_WITH_AS(sum(y).backward(), "[on_grad] the replaced gradient of 'mul' must have its shape [2], got []",
                       Error);
  CHECK_THROWS_WITH_AS(sum(z).backward(), "[on_grad] the replaced gradient of 'mul' must be float32, got float64",
                       Error);
}

TEST_CASE("a gradient that was read does not change when another one is added to it") {
  const Var x = scalar(3);
  for (int i = 0; i < 2; ++i) (x * 2.0).backward();  // the sum of two is memory of the leaf's own
  const Tensor before = x.grad();
  (x * 2.0).backward();
  CHECK(before.item() == 4);
  CHECK(x.grad().item() == 6);
}

TEST_CASE("a walk under NoGrad, and an inner scope, leave the outer scope as it was") {
  const Var x = scalar(2), y = x * x;
  const NoGrad outer;
  { const NoGrad inner; }
  CHECK_FALSE(recording());
  y.backward();
  CHECK(x.grad().item() == 4);
  CHECK_FALSE((x * x).requires_grad());
}

TEST_CASE("grad computes only what lies between its inputs and the outputs") {
  const Var x = scalar(2), w = scalar(5), h = square(x);
  int seen = 0;
  w.on_grad([&](const Var&) {
    ++seen;
    return Var();
  });
  CHECK(grad(h * w, h).item() == 5);
  CHECK(seen == 0);
  // what is behind h was not walked, so it is still there
  h.backward();
  CHECK(x.grad().item() == 4);
}

TEST_CASE("constants among the outputs add nothing, and seeds are as many as outputs") {
  const Var x = scalar(2), constant(Tensor::full({}, 7, DType::float64));
  const std::vector<Var> outputs = {constant, x * x};
  CHECK(grad(outputs, {x})[0].item() == 4);
  CHECK_THROWS_WITH_AS(grad(outputs, {x}, {.seeds = {constant}}),
                       "[grad] one seed per output is needed: 2 outputs, but 1 seeds", Error);
}

TEST_CASE("a frozen leaf takes no hook") {
  const Var x = scalar(2);
  x.set_requires_grad(false);
  CHECK_THROWS_WITH_AS(x.on_grad([](const Var& g) { return g; }), "[on_grad] this variable does not require a gradient",
                       Error);
}
