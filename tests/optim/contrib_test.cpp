// The comparison baselines against trajectories of their public definitions (tests/golden/make_contrib_golden.py).
#include <algorithm>

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
  CHECK_THROWS_WITH_AS(over({bias}).rule(Muon{}).build(),
                       "[muon] is for weights of two or more dimensions, but a parameter is [3]: give it another rule, "
                       ".group(optim::is_bias, {.rule = optim::Adam{}})",
                       Error);
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

TEST_CASE("Prodigy follows its definition") {
  CHECK(distance("prodigy", Prodigy{.beta2 = 0.99, .d0 = 0.01}) < tolerance);
  CHECK_THROWS_AS(over({start()}).rule(Prodigy{.d0 = 0}).build(), Error);
}
