// Weight decay: its modes, whom it reaches, and whose rate counts. L1 where it reaches by the same rules.
#include <doctest/doctest.h>

#include "core/error.h"
#include "core/ops.h"
#include "optim/optimizer.h"
#include "tests/optim/parameters.h"

using namespace gradus;
using namespace gradus::optim;

TEST_CASE("each mode of weight decay enters at its own place in the step") {
  // P = 4 I through m = 2, g = 1, w = 10, lr = 0.1, rate = 0.5.
  const auto after = [](DecayMode mode) {
    Parameter w = weight("w", {10});
    Optimizer optimizer = over({w})
                              .rule(Sgd{.lr = 0.1})
                              .precondition(SHd{.form = SHd::Form::positive})
                              .weight_decay({.rate = 0.5, .mode = mode})
                              .build();
    Tensor m = optimizer.state().at("w/s-hd.root");
    fill_(m, 2);
    w.set_grad(Tensor::from<double>({1}, {1, 1}));
    optimizer.step();
    return values(w)[0];
  };
  CHECK(after(DecayMode::coupled) == doctest::Approx(10 - 0.1 * 4 * (1 + 5)));
  CHECK(after(DecayMode::after_preconditioner) == doctest::Approx(10 - 0.1 * (4 + 5)));
  CHECK(after(DecayMode::decoupled) == doctest::Approx(10 * (1 - 0.05) - 0.1 * 4));
}

TEST_CASE("a predicate that is an empty function is refused by the stage that it was given to") {
  const auto refusal = [](const std::function<void(Builder&)>& add) {
    Builder builder = over({weight("w", {1})});
    std::string message;
    try {
      add(builder);
    } catch (const Error& error) {
      message = error.what();
    }
    return message;
  };
  const std::string why = " expects a predicate, got an empty function";
  CHECK(refusal([](Builder& b) { b.weight_decay({.rate = 1, .where = nullptr}); }) == "[weight_decay]" + why);
  CHECK(refusal([](Builder& b) { b.l1({.rate = 1, .where = nullptr}); }) == "[l1]" + why);
  CHECK(refusal([](Builder& b) { b.bnp({.where = nullptr}); }) == "[bnp]" + why);
  CHECK(refusal([](Builder& b) { b.group(nullptr, {}); }) == "[group]" + why);
  CHECK(refusal([](Builder& b) { b.schedule(std::function<double(int64_t)>()); }) ==
        "[schedule] expects a function of time, got an empty one");
}

TEST_CASE("decay reaches only the parameters that its predicate names") {
  Parameter w = weight("w", {1}), b = parameter("b", vec({1}), ParamRole::bias);
  Optimizer optimizer = over({w, b}).rule(Sgd{.lr = 1}).weight_decay({.rate = 0.25, .where = is_weight}).build();
  w.set_grad(Tensor::zeros({1, 1}, DType::float64));
  b.set_grad(Tensor::zeros({1}, DType::float64));
  optimizer.step();
  CHECK(values(w)[0] == 0.75);
  CHECK(values(b)[0] == 1);
}

TEST_CASE("a group's own decay reaches parameters that the predicate leaves out") {
  const auto bias_after = [](const Group& group) {
    Parameter w = weight("w", {1}), b = parameter("b", vec({1}), ParamRole::bias);
    Optimizer optimizer =
        over({w, b}).rule(Sgd{.lr = 1}).weight_decay({.rate = 0.25, .where = is_weight}).group(is_bias, group).build();
    w.set_grad(Tensor::zeros({1, 1}, DType::float64));
    b.set_grad(Tensor::zeros({1}, DType::float64));
    optimizer.step();
    CHECK(values(w)[0] == 0.75);
    return values(b)[0];
  };
  CHECK(bias_after({.weight_decay = 0.5}) == 0.5);
  CHECK(bias_after({.settings = {{"weight_decay", 0.5}}}) == 0.5);
  CHECK(bias_after({.rule = AdamW{.lr = 1, .weight_decay = 0.5}}) == 0.5);
  CHECK(bias_after({.lr = 0.5}) == 1);
}

TEST_CASE("a group's own L1 reaches parameters that the predicate leaves out") {
  Parameter w = weight("w", {1}), b = parameter("b", vec({1}), ParamRole::bias),
            c = parameter("c", vec({1}), ParamRole::bias);
  Optimizer optimizer = over({w, b, c})
                            .rule(Sgd{.lr = 1})
                            .l1({.rate = 0.25, .where = is_weight})
                            .group(named("b"), {.settings = {{"l1", 0.5}}})
                            .build();
  w.set_grad(Tensor::zeros({1, 1}, DType::float64));
  for (const Parameter& bias : {b, c}) bias.set_grad(Tensor::zeros({1}, DType::float64));
  optimizer.step();
  CHECK(values(w)[0] == 0.75);
  CHECK(values(b)[0] == 0.5);
  CHECK(values(c)[0] == 1);
}

TEST_CASE("the decay of a group's rule is gone with the rule, where a later group has another") {
  Parameter b = parameter("b", vec({1}), ParamRole::bias);
  Optimizer optimizer = over({b})
                            .rule(Sgd{.lr = 1})
                            .weight_decay({.rate = 0.1, .where = is_weight})
                            .group(every_parameter, {.rule = AdamW{}})
                            .group(is_bias, {.rule = Sgd{.lr = 1}})
                            .build();
  b.set_grad(Tensor::zeros({1}, DType::float64));
  optimizer.step();
  CHECK(values(b)[0] == 1);
}

TEST_CASE("a decay without a mode is the rule's own kind, and a group's own rule keeps its decay") {
  const auto after = [](Builder builder, const Parameter& w) {
    Optimizer optimizer = builder.build();
    for (int i = 0; i < 3; ++i) {
      w.set_grad(w.value() * 0.5);
      optimizer.step();
    }
    return values(w)[0];
  };
  const auto fresh = [] { return weight("w", {1}); };
  const Parameter a = fresh(), b = fresh(), c = fresh(), d = fresh(), e = fresh(), f = fresh();
  const double own = after(over({a}).rule(AdamW{.lr = 0.1, .weight_decay = 0.5}), a);
  CHECK(after(over({b}).rule(AdamW{.lr = 0.1, .weight_decay = 0}).weight_decay({.rate = 0.5}), b) == own);
  CHECK(after(over({c}).rule(AdamW{.lr = 0.1}).weight_decay({.rate = 0.5, .mode = DecayMode::coupled}), c) != own);
  CHECK(after(over({d})
                  .rule(Sgd{})
                  .weight_decay({.rate = 0.2})
                  .group(every_parameter, {.rule = AdamW{.lr = 0.1, .weight_decay = 0.5}}),
              d) == own);
  CHECK(after(over({f})
                  .rule(Sgd{})
                  .weight_decay({.rate = 0.2, .mode = DecayMode::coupled})
                  .group(every_parameter, {.rule = AdamW{.lr = 0.1, .weight_decay = 0.5}}),
              f) == own);
  CHECK(after(over({e}).rule(Adam{.lr = 0.1}).weight_decay({.rate = 0.5, .mode = DecayMode::decoupled}), e) ==
        doctest::Approx(own).epsilon(1e-12));
}
