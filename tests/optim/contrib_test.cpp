// The comparison baselines against trajectories of their public definitions (tests/golden/make_contrib_golden.py).
#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "optim/contrib/lion.h"
#include "optim/contrib/muon.h"
#include "optim/contrib/prodigy.h"
#include "optim/contrib/schedule_free.h"
#include "optim/contrib/shampoo.h"
#include "tests/optim/trajectory.h"

using namespace gradus;
using namespace gradus::optim;

namespace {

double distance(const char* name, const AnyRule& rule, const Shape& shape = {3, 4}) {
  return optim::distance(golden_file("contrib.json").at(name), start(shape), [&](Builder& b) { b.rule(rule); });
}

// Twelve steps of a few dozen roundings of numbers up to 2, amplified by the objective's curvature.
constexpr double tolerance = 1e-11;

}  // namespace

TEST_CASE("Lion follows its definition, with its decoupled decay too") {
  CHECK(distance("lion", Lion{.lr = 0.02}) < tolerance);
  CHECK(
      distance(golden_file("contrib.json").at("lion_decay"), start(), [](Builder& b) {
        b.rule(Lion{.lr = 0.02, .beta1 = 0.8, .beta2 = 0.95}).weight_decay({.rate = 0.3, .mode = DecayMode::decoupled});
      }) < tolerance);
}

TEST_CASE("Muon follows its definition for wide and tall matrices, and a convolution is [out, rest]") {
  CHECK(distance("muon", Muon{.lr = 0.05}) < tolerance);
  CHECK(distance("muon_tall", Muon{.lr = 0.05, .momentum = 0.9, .nesterov = false}, {4, 3}) < tolerance);
  CHECK(distance("muon_tall", Muon{.lr = 0.05, .momentum = 0.9, .nesterov = false}, {4, 1, 3, 1}) < tolerance);
  const Parameter bias(Tensor::zeros({3}), {.name = "b", .role = ParamRole::bias});
  CHECK_THROWS_WITH_AS(
      over({bias}).rule(Muon{}).build(),
      "[muon] is for weights of two or more dimensions, but a parameter is [3]: give biases and scales another rule, "
      ".group(std::not_fn(optim::is_weight), {.rule = optim::Adam{}})",
      Error);
  CHECK_THROWS_WITH_AS(over({start()}).rule(Muon{.iterations = 0}).build(),
                       "[muon] expects iterations of at least 1, got 0", Error);
}

TEST_CASE("Shampoo follows its definition, with rare roots and with one side too") {
  CHECK(distance("shampoo", Shampoo{.lr = 0.1, .eps = 1e-3}) < tolerance);
  CHECK(distance("shampoo_every", Shampoo{.lr = 0.1, .eps = 1e-2, .every = 3}) < tolerance);
  CHECK(distance("shampoo_left", Shampoo{.lr = 0.1, .eps = 1e-2, .max_dim = 3}) < tolerance);
  CHECK_THROWS_AS(over({start()}).rule(Shampoo{.every = 0}).build(), Error);
  const Parameter empty(Tensor::zeros({0, 3}), {.name = "empty"});
  empty.set_grad(Tensor::zeros({0, 3}));
  over({empty}).rule(Shampoo{}).build().step();
}

TEST_CASE("Schedule-Free follows its definition in y, and its scope shows x") {
  const auto see = [](const Optimizer& optimizer, const Parameter& w) {
    std::vector<double> both = w.value().to_vector<double>();
    const std::vector<double> y = both;
    {
      const ScheduleFreeScope average(optimizer, {w});
      for (double x : w.value().to_vector<double>()) both.push_back(x);
    }
    CHECK(w.value().to_vector<double>() == y);
    return both;
  };
  CHECK(distance(
            golden_file("contrib.json").at("schedule_free"), start(),
            [](Builder& b) {
              b.rule(ScheduleFree{.lr = 0.05, .beta2 = 0.99, .eps = 1e-6}).schedule({[](int64_t t) {
                return std::min(1.0, static_cast<double>(t + 1) / 4);
              }});
            },
            see) < tolerance);
  const Parameter w = start();
  const Optimizer other = over({w}).rule(Adam{}).build();
  CHECK_THROWS_WITH_AS(ScheduleFreeScope(other, {w}),
                       "[schedule-free] none of these parameters is trained by optim::ScheduleFree", Error);
  CHECK_THROWS_AS(over({w}).rule(ScheduleFree{.beta1 = 0}).build(), Error);
}

TEST_CASE("Schedule-Free refuses what would move the parameter beside it") {
  const Parameter w(Tensor::ones({2, 3}), {"w", LayerKind::linear, ParamRole::weight, 2, 3});
  const auto refuses = [&](Builder builder, const std::string& what) {
    CHECK_THROWS_WITH_AS(
        builder.rule(ScheduleFree{}).build(),
        ("[optimizer] rule 'schedule-free' of 'w' follows the parameter's steps, and does not go with " + what).c_str(),
        Error);
  };
  refuses(over({w}).scale_steps({}), "step scaling");
  refuses(over({w}).weight_decay({.rate = 1, .mode = DecayMode::decoupled}), "decoupled decay");
  refuses(over({w}).precondition(SHd{.learning = {.acts_on = ActsOn::direction}}),
          "a preconditioner of its directions");
  over({w}).weight_decay({.rate = 1}).precondition(SHd{}).rule(ScheduleFree{}).build();
  // Its rate may be set later.
  refuses(over({w}).weight_decay({.rate = 0, .mode = DecayMode::decoupled}), "decoupled decay");
}

TEST_CASE("as inner rules, those that know their parameter go on from a saved state bit for bit") {
  for (const AnyRule& hyper : {AnyRule(Prodigy{.d0 = 1e-2}), AnyRule(ScheduleFree{.lr = 0.1})}) {
    CAPTURE(hyper.name());
    const auto fresh = [] {
      return Parameter(Tensor::ones({2, 3}), {"w", LayerKind::linear, ParamRole::weight, 2, 3});
    };
    const Parameter a = fresh(), b = fresh();
    const auto make = [&](const Parameter& w) {
      return over({w}).rule(Sgd{.lr = 0.01}).precondition(Fop{.hyper = hyper}).build();
    };
    const auto train = [](const Parameter& w, Optimizer& optimizer, int64_t until) {
      while (optimizer.steps() < until) {
        w.set_grad(random_normal({2, 3}, 0.5, 1, {.seed = 3, .stream = static_cast<uint64_t>(optimizer.steps())}));
        optimizer.step();
      }
    };
    Optimizer first = make(a), second = make(b);
    train(a, first, 4);
    copy_(Parameter(b).mutable_value(), a.value());
    second.load(first.state());
    train(a, first, 8);
    train(b, second, 8);
    CHECK(a.value().to_bytes() == b.value().to_bytes());
    for (const auto& [name, tensor] : first.state()) CHECK(tensor.to_bytes() == second.state().at(name).to_bytes());
  }
}

TEST_CASE("Schedule-Free and Prodigy begin at the weights that the first step finds") {
  // Loaded between build() and the first step, as pretrained weights may be.
  const AnyRule rules[] = {ScheduleFree{.lr = 0.1}, Prodigy{.d0 = 1e-2}};
  for (const AnyRule& rule : rules) {
    CAPTURE(rule.name());
    const auto trained = [&](bool loaded_later) {
      Parameter w(Tensor::full({3}, loaded_later ? 7.0 : 2.0, DType::float64), {.name = "w"});
      Optimizer optimizer = over({w}).rule(rule).build();
      if (loaded_later) w.set_value(Tensor::full({3}, 2.0, DType::float64));
      if (rule.name() == ScheduleFree::name) const ScheduleFreeScope nothing_yet(optimizer, {w});
      for (int t = 0; t < 3; ++t) {
        w.set_grad(w.value() * 0.5);
        optimizer.step();
      }
      return w.value().to_vector<double>();
    };
    CHECK(trained(true) == trained(false));
  }
}

TEST_CASE("Prodigy follows its definition") {
  CHECK(distance("prodigy", Prodigy{.beta2 = 0.99, .d0 = 0.01}) < tolerance);
  CHECK_THROWS_AS(over({start()}).rule(Prodigy{.d0 = 0}).build(), Error);
}

TEST_CASE("Prodigy's estimate takes the learning rate into account") {
  // The recurrences of prodigy.h for one number, spelled out.
  const double beta1 = 0.9, beta2 = 0.999, beta3 = std::sqrt(beta2), eps = 1e-8, d0 = 0.01;
  const double gradients[] = {1, 0.8, 0.5, 0.7, -0.2, 0.4}, rates[] = {0.5, 0.25, 0.125, 1, 0.5, 0.25};
  Parameter w(Tensor::ones({1}, DType::float64), {.name = "w"});
  Optimizer optimizer = over({w}).rule(Prodigy{.d0 = d0}).build();
  double p = 1, d = d0, r = 0, s = 0, m = 0, v = 0;
  for (size_t t = 0; t < 6; ++t) {
    const double g = gradients[t], lr = rates[t];
    optimizer.set("lr", lr);
    w.set_grad(Tensor::full({1}, g, DType::float64));
    optimizer.step();
    r = beta3 * r + d / d0 * d * lr * g * (1 - p);
    s = beta3 * s + d / d0 * d * lr * g;
    m = beta1 * m + (1 - beta1) * d * g;
    v = beta2 * v + (1 - beta2) * d * d * g * g;
    const double before = d;
    d = std::max(d, r / std::abs(s));
    p -= before * lr * m / (std::sqrt(v) + d * eps);
    CHECK(w.value().item() == doctest::Approx(p).epsilon(1e-13));
  }
  CHECK(d > d0);  // else the test would show nothing
}

TEST_CASE("Schedule-Free weighs by the largest learning rate so far, and begins where the rate is zero") {
  // The recurrences of schedule_free.h for one number: y is the parameter, x the average.
  const double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  const double gradients[] = {1, 0.5, -0.25, 2, 1}, rates[] = {0, 0.25, 0.5, 0.125, 0.0625};
  Parameter w(Tensor::ones({1}, DType::float64), {.name = "w"});
  Optimizer optimizer = over({w}).rule(ScheduleFree{}).build();
  double x = 1, z = 1, v = 0, largest = 0, weights = 0;
  for (int t = 0; t < 5; ++t) {
    const double g = gradients[t], lr = rates[t];
    optimizer.set("lr", lr);
    w.set_grad(Tensor::full({1}, g, DType::float64));
    optimizer.step();
    v = beta2 * v + (1 - beta2) * g * g;
    z -= lr * g / (std::sqrt(v / (1 - std::pow(beta2, t + 1))) + eps);
    largest = std::max(largest, lr);
    weights += largest * largest;
    if (weights > 0) x += largest * largest / weights * (z - x);
    CHECK(w.value().item() == doctest::Approx((1 - beta1) * z + beta1 * x).epsilon(1e-13));
  }
}

TEST_CASE("rare roots, a start and the largest rate are part of a state: a run goes on bit for bit") {
  for (const AnyRule& rule : {AnyRule(Shampoo{.every = 3}), AnyRule(Prodigy{.d0 = 1e-2}), AnyRule(ScheduleFree{})}) {
    CAPTURE(rule.name());
    const auto train = [](const Parameter& w, Optimizer& optimizer, int64_t until) {
      while (optimizer.steps() < until) {
        w.set_grad(random_normal({2, 3}, 0.5, 1, {.seed = 3, .stream = static_cast<uint64_t>(optimizer.steps())}));
        optimizer.step();
      }
    };
    const auto make = [&](const Parameter& w) { return over({w}).rule(rule).schedule(exponential(0.7)).build(); };
    const Parameter whole(Tensor::ones({2, 3}), {.name = "w"}), resumed(Tensor::zeros({2, 3}), {.name = "w"});
    Optimizer first = make(whole), second = make(resumed);
    train(whole, first, 5);
    resumed.set_value(whole.value());
    second.load(clone(first.state()));
    train(whole, first, 9);
    train(resumed, second, 9);
    CHECK(resumed.value().to_bytes() == whole.value().to_bytes());
  }
}
