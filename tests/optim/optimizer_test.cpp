// The pipeline of one step: order of stages, groups, clipping, missing gradients, and every refusal.
#include "optim/optimizer.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "autograd/ops.h"
#include "core/error.h"
#include "models/all_cnn.h"
#include "tests/optim/parameters.h"

using namespace gradus;
using namespace gradus::optim;

namespace {

bool same_bits(const Tensor& a, const Tensor& b) {
  const std::vector<float> x = a.to_vector<float>(), y = b.to_vector<float>();
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0;
}

/// A rule of one's own that is a function of the gradient; null: options that make no rule.
struct Made {
  using Direction = Tensor (*)(const Tensor&);
  static constexpr const char* name = "own";
  Direction direction;
  Settings settings() const { return {{"lr", 1}}; }
  std::unique_ptr<Rule> make(const Tensor&) const {
    struct MadeRule final : Rule {
      explicit MadeRule(Direction function) : function_(function) {}
      Tensor direction(const Tensor& g, const Settings&) override { return function_(g); }
      void slots(Slots&) override {}
      Direction function_;
    };
    return direction ? std::make_unique<MadeRule>(direction) : nullptr;
  }
};

}  // namespace

TEST_CASE("a parameter of a dtype that is not trained, or without a tensor, is refused when the optimizer is built") {
  const Parameter half(Tensor::zeros({2}, DType::bfloat16), {.name = "half"});
  CHECK_THROWS_WITH_AS(over({half}).rule(Sgd{.lr = 0.1}).build(),
                       "[optimizer] parameter 'half' is bfloat16: train float32 or float64; Autocast computes in "
                       "bfloat16 from float32 parameters",
                       Error);
  CHECK_THROWS_WITH_AS(over({weight("w", {1}), Parameter()}).rule(Sgd{.lr = 0.1}).build(),
                       "[optimizer] parameter number 2, '', is undefined: it has no tensor", Error);
}

TEST_CASE("gradients are never written") {
  Parameter w = weight("w", {1, -2, 3});
  const Tensor g = Tensor::from<double>({30, -40, 0.5}, {1, 3});
  const std::vector<double> before = g.to_vector<double>();
  const AnyRule rules[] = {Sgd{.momentum = 0.9, .nesterov = true}, RmsProp{}, AdaGrad{}, Adam{}, AdamW{}};
  const AnyPreconditioner preconditioners[] = {NoPreconditioner{}, Fop{}, SHd{}, SHd{.form = SHd::Form::baydin},
                                               PpHd{}};
  for (const AnyRule& rule : rules)
    for (const AnyPreconditioner& preconditioner : preconditioners) {
      Optimizer optimizer = over({w})
                                .rule(rule)
                                .precondition(preconditioner)
                                .clip({.norm = 5, .value = 2})
                                .weight_decay({.rate = 0.1})
                                .build();
      const uint64_t version = g.version();
      w.set_grad(g);
      optimizer.step();
      optimizer.step();
      CHECK(g.version() == version);
      CHECK(g.to_vector<double>() == before);
    }
}

TEST_CASE("every preconditioner composes with every rule") {
  const AnyRule rules[] = {Sgd{.lr = 0.02},
                           Sgd{.lr = 0.01, .momentum = 0.9},
                           Sgd{.lr = 0.01, .momentum = 0.9, .nesterov = true},
                           RmsProp{.lr = 0.01},
                           AdaGrad{.lr = 0.1},
                           Adam{.lr = 0.02},
                           AdamW{.lr = 0.02}};
  const AnyPreconditioner preconditioners[] = {NoPreconditioner{},
                                               Fop{},
                                               Fop{.form = Fop::Form::direct},
                                               Fop{.norm = Fop::Norm::through},
                                               Fop{.rescale = Fop::Rescale{}},
                                               Fop{.learning = {.acts_on = ActsOn::direction}},
                                               SHd{},
                                               SHd{.form = SHd::Form::baydin},
                                               PpHd{.hyper = RmsProp{.lr = 1e-4}}};
  for (const AnyRule& rule : rules)
    for (const AnyPreconditioner& preconditioner : preconditioners) {
      CAPTURE(rule.name());
      CAPTURE(preconditioner.name());
      Parameter w = weight("w", {1, -2, 3, -1});
      Optimizer optimizer = over({w}).rule(rule).precondition(preconditioner).build();
      const Tensor scale = Tensor::from<double>({1, 2, 3, 4}, {1, 4});
      double first = 0, last = 0;
      for (int i = 0; i < 60; ++i) {
        optimizer.zero_grad();
        const Var loss = sum(square(w) * scale);
        loss.backward();
        optimizer.step();
        (i ? last : first) = loss.item();
      }
      CHECK(last < first / 2);
    }
}

TEST_CASE("clipping by value follows clipping by norm") {
  Parameter a = weight("a", {0, 0}), b = weight("b", {0});
  Optimizer optimizer = over({a, b}).rule(Sgd{.lr = 1}).clip({.norm = 10, .value = 4}).build();
  a.set_grad(Tensor::from<double>({12, -3}, {1, 2}));
  b.set_grad(Tensor::from<double>({16}, {1, 1}));
  optimizer.step();  // |(12, -3, 16)| = sqrt(409)
  const double factor = 10 / (std::sqrt(409.0) + 1e-6);
  CHECK(values(a)[0] == -4);
  CHECK(values(a)[1] == doctest::Approx(3 * factor).epsilon(1e-14));
  CHECK(values(b)[0] == -4);
}

TEST_CASE("a norm within the limit leaves gradients exactly alone") {
  CHECK(clip_factor(1.9999, 2) == 1);
  CHECK(clip_factor(4, 2) == doctest::Approx(0.5));
  CHECK(std::isnan(clip_factor(std::nan(""), 2)));
}

TEST_CASE("groups inherit field by field, and the last match wins a field") {
  Parameter a = weight("body.a", {1}), b = weight("body.b", {1}), c = weight("head.c", {1});
  Optimizer optimizer = over({a, b, c})
                            .rule(Sgd{.lr = 0.1, .momentum = 0.9})
                            .precondition(Fop{.hyper = Adam{.lr = 1e-3}})
                            .weight_decay({.rate = 0.01})
                            .group(named("body."), {.lr = 0.2, .settings = {{"hyper.lr", 1e-5}}})
                            .group(named("body.b"), {.weight_decay = 0.0, .settings = {{"momentum", 0.5}}})
                            .group(named("head."), {.preconditioner = NoPreconditioner{}, .schedule = constant(0.5)})
                            .build();
  REQUIRE(optimizer.groups() == 3);
  CHECK(optimizer.members(0) == std::vector<std::string>{"body.a"});
  CHECK_THROWS_WITH_AS(optimizer.members(7), doctest::Contains("[members] group 7 of "), Error);
  CHECK(optimizer.settings(0).at("lr") == 0.2);
  CHECK(optimizer.settings(0).at("momentum") == 0.9);
  CHECK(optimizer.settings(0).at("weight_decay") == 0.01);
  CHECK(optimizer.settings(0).at("hyper.lr") == 1e-5);
  CHECK(optimizer.settings(1).at("lr") == 0.2);
  CHECK(optimizer.settings(1).at("momentum") == 0.5);
  CHECK(optimizer.settings(1).at("weight_decay") == 0);
  CHECK(optimizer.settings(1).at("hyper.lr") == 1e-5);
  CHECK(optimizer.settings(2).at("lr") == 0.05);
  CHECK(optimizer.settings(2).at("momentum") == 0.9);
  CHECK_FALSE(optimizer.settings(2).contains("hyper.lr"));
  CHECK(optimizer.diagnostics().size() == 2);
}

TEST_CASE("a group may have another rule") {
  Parameter a = weight("a", {1}), b = weight("b", {1});
  Optimizer optimizer = over({a, b}).rule(Sgd{.lr = 0.5}).group(named("b"), {.rule = AdamW{.lr = 0.25}}).build();
  a.set_grad(Tensor::from<double>({1}, {1, 1}));
  b.set_grad(Tensor::from<double>({7}, {1, 1}));
  optimizer.step();
  CHECK(values(a)[0] == 0.5);
  CHECK(values(b)[0] == doctest::Approx(1 - 0.25 * 0.01 - 0.25));  // AdamW's own decay, and a first step of length lr
}

TEST_CASE("set() changes a hyperparameter everywhere") {
  Parameter a = weight("a", {1}), b = weight("b", {1});
  Optimizer optimizer = over({a, b}).rule(Sgd{.lr = 0.5}).group(named("b"), {.lr = 0.1}).build();
  optimizer.set("lr", 0.25);
  CHECK(optimizer.lr(0) == 0.25);
  CHECK(optimizer.lr(1) == 0.25);
  CHECK_THROWS_WITH_AS(optimizer.set("beta1", 0.5),
                       "[optim] no hyperparameter is called 'beta1'; there are: lr, weight_decay", Error);
}

TEST_CASE("set() with a group changes that one alone") {
  const Parameter a = weight("a", {1}), b = weight("b", {1});
  Optimizer optimizer = over({a, b}).rule(Sgd{.lr = 0.1}).group(named("b"), {.rule = Adam{}}).build();
  optimizer.set("lr", 0.5, 1);
  CHECK(optimizer.lr(0) == 0.1);
  CHECK(optimizer.lr(1) == 0.5);
  CHECK_THROWS_WITH_AS(optimizer.set("lr", 0.5, 2), "[set] group 2 of 2 does not exist", Error);
  CHECK_THROWS_AS(optimizer.set("beta1", 0.5, 0), Error);
  CHECK_THROWS_AS(optimizer.set("lr", -1, 0), Error);
  CHECK(optimizer.lr(0) == 0.1);
}

TEST_CASE("an optimizer that was moved from says so, and one that is skipped goes on with its schedule") {
  const Parameter w = weight("w", {1});
  Optimizer first = over({w}).rule(Sgd{.lr = 0.5}).schedule(multi_step({2})).build(), second = std::move(first);
  CHECK_THROWS_WITH_AS(first.step(), "[optimizer] this optimizer was moved from", Error);
  CHECK_THROWS_AS(first.lr(), Error);
  second.skip();
  CHECK(second.lr() == 0.5);
  second.skip();
  CHECK(second.lr() == doctest::Approx(0.05));
  CHECK(values(w)[0] == 1);
}

TEST_CASE("a step by a function that calls no backward() is refused") {
  const Parameter w = weight("w", {1});
  Optimizer optimizer = over({w}).rule(Sgd{.lr = 0.5}).build();
  CHECK_THROWS_WITH_AS(optimizer.step([] {}), doctest::Contains("left no parameter a gradient"), Error);
  CHECK_THROWS_WITH_AS(optimizer.step(std::function<void()>()),
                       "[optimizer] step(backward) expects a function, got an empty one", Error);
  CHECK(optimizer.steps() == 0);
}

TEST_CASE("a parameter without a gradient is left alone, and its next gradient has no predecessor") {
  Parameter w = weight("w", {1, 1});
  Optimizer optimizer = over({w}).rule(Sgd{.lr = 0.1}).precondition(SHd{.hyper = Sgd{.lr = 1}}).build();
  const Tensor m = optimizer.state().at("w/s-hd.scale");
  const auto step = [&](bool gradient) {
    gradient ? w.set_grad(Tensor::ones({1, 2}, DType::float64)) : w.clear_grad();
    optimizer.step();
  };
  step(true);
  CHECK(m.item() == 1);
  step(true);
  CHECK(m.item() == doctest::Approx(1.2));  // 1 + eps <g, g> = 1 + 0.1 * 2
  const std::vector<double> before = values(w);
  step(false);
  CHECK(values(w) == before);
  step(true);
  CHECK(m.item() == doctest::Approx(1.2));
  step(true);
  CHECK(m.item() == doctest::Approx(1.4));
}

TEST_CASE("the step size in the hypergradient is the previous step's") {
  Parameter w = weight("w", {1, 1});
  Optimizer optimizer =
      over({w}).rule(Sgd{.lr = 0.5}).schedule(multi_step({1}, 0.1)).precondition(SHd{.hyper = Sgd{.lr = 1}}).build();
  w.set_grad(Tensor::ones({1, 2}, DType::float64));
  optimizer.step();
  optimizer.step();
  CHECK(optimizer.state().at("w/s-hd.scale").item() == doctest::Approx(2));  // 1 + 0.5 * 2, not 1 + 0.05 * 2
}

TEST_CASE("the gain of Nesterov's rule is a factor of the hypergradient, the previous step's too, also after loading") {
  // theta(t) = theta(t-1) - lr (u + momentum v), v = momentum v + u: u = P g enters 1 + momentum times.
  const auto make = [](const Parameter& w, Learning learning) {
    return over({w})
        .rule(Sgd{.lr = 0.1, .momentum = 0.8, .nesterov = true})
        .schedule("momentum", multi_step({1}, 0.5))
        .precondition(SHd{.hyper = Sgd{.lr = 1}, .learning = learning})
        .build();
  };
  const auto learned = [&](Learning learning, bool resumed) {
    Parameter w = weight("w", {1, 1});
    Optimizer first = make(w, learning), second = make(w, learning);
    w.set_grad(Tensor::ones({1, 2}, DType::float64));
    first.step();
    if (resumed) second.load(first.state());
    Optimizer& optimizer = resumed ? second : first;
    optimizer.step();
    return optimizer.state().at("w/s-hd.scale").item();
  };
  for (const bool resumed : {false, true}) {
    CAPTURE(resumed);
    CHECK(learned({}, resumed) == doctest::Approx(1 + 0.1 * 1.8 * 2));
    CHECK(learned({.include_lr = false}, resumed) == doctest::Approx(1 + 1.8 * 2));
    // The direction itself, u + momentum v = 1.8 u, is what P multiplies.
    CHECK(learned({.acts_on = ActsOn::direction}, resumed) == doctest::Approx(1 + 0.1 * 1.8 * 2));
  }
}

TEST_CASE("hypergradients of momentum and of Nesterov's rule are the derivative of the next loss by P") {
  // J(theta) = sum theta^4 / 4 after two steps, by central differences in the s that made the last one.
  for (const bool nesterov : {false, true}) {
    CAPTURE(nesterov);
    const auto after_two = [&](double s, double rate) {
      Parameter w = weight("w", {1, -0.5});
      Optimizer optimizer = over({w})
                                .rule(Sgd{.lr = 0.1, .momentum = 0.9, .nesterov = nesterov})
                                .precondition(SHd{.hyper = Sgd{.lr = rate}})
                                .build();
      const auto step = [&] {
        w.set_grad(w.value() * square(w.value()));
        optimizer.step();
      };
      step();
      StateDict state = optimizer.state();
      state.at("w/s-hd.scale") = Tensor::from<double>({s}, {1});
      state.at("w/s-hd.previous") = Tensor::empty({0}, DType::float64);  // learns nothing from the first step
      optimizer.load(state);
      step();
      if (rate == 0) return sum(square(square(w.value()))).item() / 4;
      step();  // learns from the second
      return s - optimizer.state().at("w/s-hd.scale").item();
    };
    const double h = 1e-5, by_differences = (after_two(1 + h, 0) - after_two(1 - h, 0)) / (2 * h);
    CHECK(after_two(1, 1) == doctest::Approx(by_differences).epsilon(1e-8));
  }
}

TEST_CASE("count_first counts the first step for the inner rule, and include_lr multiplies by the step size") {
  const auto learned = [](Learning learning) {
    Parameter w = weight("w", {1, 1});
    Optimizer optimizer =
        over({w}).rule(Sgd{.lr = 0.1}).precondition(SHd{.hyper = Adam{.lr = 0.01}, .learning = learning}).build();
    w.set_grad(Tensor::ones({1, 2}, DType::float64));
    optimizer.step();
    optimizer.step();
    const StateDict state = optimizer.state();
    return std::pair(state.at("w/s-hd.adam.steps").item(), state.at("w/s-hd.adam.first_moment").item());
  };
  CHECK(learned({}).first == 1);
  CHECK(learned({.count_first = true}).first == 2);
  CHECK(learned({}).second == doctest::Approx(-0.1 * 0.1 * 2));  // (1 - beta1) times -eps <g, g>
  CHECK(learned({.include_lr = false}).second == doctest::Approx(-0.1 * 2));
}

TEST_CASE(
    "with momentum 0.9 noise makes one step's hypergradient positive; that of the whole direction shortens steps") {
  // g = theta + noise of variance 1 with steps of 0.1: once theta only fluctuates, the expected product of an element
  // of g(t) with that of g(t-1) is 0.385, and with that of the momentum before it -0.271 (by 1,500 steps of 4,000
  // such).
  constexpr int64_t n = 2000, settled = 100, steps = 100;
  constexpr double lr = 0.1, rho = 1e-6;
  const auto learned = [&](ActsOn acts_on) {
    Parameter w = parameter("w", Tensor::zeros({1, n}, DType::float64));
    Optimizer optimizer = over({w})
                              .rule(Sgd{.lr = lr, .momentum = 0.9})
                              .precondition(SHd{.hyper = Sgd{.lr = 0}, .learning = {.acts_on = acts_on}})
                              .build();
    for (int64_t t = 0; t < settled + steps; ++t) {
      if (t == settled) optimizer.set("hyper.lr", rho);
      w.set_grad(w.value() +
                 random_normal(w.shape(), 0, 1, {.seed = 3, .stream = static_cast<uint64_t>(t)}, DType::float64));
      optimizer.step();
    }
    return (optimizer.state().at("w/s-hd.scale").item() - 1) / (rho * lr * n * steps);
  };
  CHECK(learned(ActsOn::gradient) / 0.385 == doctest::Approx(1).epsilon(0.05));
  CHECK(learned(ActsOn::direction) / -0.271 == doctest::Approx(1).epsilon(0.05));
}

TEST_CASE("Baydin's rule learns the learning rate from the rule's whole direction") {
  // By hand: directions v1 = 1, v2 = 0.5 + 1 = 1.5; e1 = 0.2, e2 = e1, e3 = e2 + rho g v2 after e2 = e1 + rho g v1.
  Parameter w = weight("w", {0});
  const double rho = 0.01;
  Optimizer optimizer =
      over({w})
          .rule(Sgd{.lr = 0.2, .momentum = 0.5})
          .precondition(SHd{.hyper = Sgd{.lr = rho}, .form = SHd::Form::baydin, .learning = {.update_first = true}})
          .build();
  w.set_grad(Tensor::ones({1, 1}, DType::float64));
  optimizer.step();
  CHECK(values(w)[0] == doctest::Approx(-0.2));
  optimizer.step();
  CHECK(values(w)[0] == doctest::Approx(-0.2 - (0.2 + rho) * 1.5));
  optimizer.step();
  CHECK(values(w)[0] == doctest::Approx(-0.2 - (0.2 + rho) * 1.5 - (0.2 + rho + rho * 1.5) * 1.75));
}

TEST_CASE("Baydin's rule stands still at a learning rate of zero, and goes on from there") {
  Parameter w = weight("w", {0});
  Optimizer optimizer = over({w})
                            .rule(Sgd{.lr = 0.5})
                            .schedule([](int64_t t) { return t == 0 ? 0.0 : 1.0; })
                            .precondition(SHd{.hyper = Sgd{.lr = 0.25}, .form = SHd::Form::baydin})
                            .build();
  for (const double expected : {0.0, -0.5, -1.0, -1.75}) {  // e learns first from the second step, in the third
    w.set_grad(Tensor::ones({1, 1}, DType::float64));
    optimizer.step();
    CHECK(values(w)[0] == expected);
  }
}

TEST_CASE("with a hyper learning rate of zero FOP trains All-CNN-C bit for bit like no preconditioner") {
  const auto train = [](const AnyPreconditioner& preconditioner) {
    AllCnn model;
    uint64_t stream = 0;
    for (Parameter& p : model.parameters())
      copy_(p.mutable_value(), random_normal(p.shape(), 0, 0.05, {.seed = 5, .stream = ++stream}));
    model.seed(9);
    Optimizer optimizer =
        over(model.parameters()).rule(Sgd{.lr = 0.05, .momentum = 0.9}).precondition(preconditioner).build();
    const Tensor images = random_normal({2, 3, 16, 16}, 0, 1, {.seed = 6});
    for (int i = 0; i < 3; ++i) {
      optimizer.zero_grad();
      cross_entropy(model(images), Tensor::from<int64_t>({3, 8}, {2})).backward();
      optimizer.step();
    }
    CHECK(optimizer.diagnostics().size() == (preconditioner.name() == "none" ? 0 : 9));
    return model.parameters();
  };
  const std::vector<Parameter> none = train(NoPreconditioner{});
  for (const AnyRule& hyper : {AnyRule(Adam{.lr = 0}), AnyRule(Sgd{.lr = 0})}) {
    const std::vector<Parameter> fop = train(Fop{.hyper = hyper});
    for (size_t i = 0; i < none.size(); ++i) {
      CAPTURE(none[i].name());
      CHECK(same_bits(none[i].value(), fop[i].value()));
    }
  }
  const std::vector<Parameter> learned = train(Fop{.hyper = Adam{.lr = 1e-2}});
  CHECK_FALSE(same_bits(none[0].value(), learned[0].value()));
}

TEST_CASE("the kept gradient is the gradient's own memory, and writing to it is noticed") {
  Parameter w = weight("w", {1, 1});
  Optimizer optimizer = over({w}).rule(Sgd{}).precondition(Fop{}).build();
  Tensor g = Tensor::ones({1, 2}, DType::float64);
  w.set_grad(g);
  optimizer.step();
  CHECK(optimizer.state().at("w/fop.previous").storage() == g.storage());
  fill_(g, 2);
  CHECK_THROWS_WITH_AS(optimizer.step(),
                       "[optim] the gradient of the last step was written to after step(), but preconditioners learn "
                       "from it; give set_grad() fresh memory at every step",
                       Error);
}

TEST_CASE("the kept gradient is the one that was preconditioned: clipped, and with coupled decay") {
  const auto kept = [](const Clip& clip, double rate) {
    Parameter w = weight("w", {3, 4});
    Optimizer optimizer = over({w}).rule(Sgd{}).precondition(SHd{}).clip(clip).weight_decay({.rate = rate}).build();
    w.set_grad(Tensor::from<double>({3, 4}, {1, 2}));
    optimizer.step();
    return optimizer.state().at("w/s-hd.previous").to_vector<double>();
  };
  CHECK(kept({}, 0) == std::vector<double>{3, 4});
  CHECK(kept({.norm = 1}, 0) == std::vector<double>{3 * (1 / (5 + 1e-6)), 4 * (1 / (5 + 1e-6))});
  CHECK(kept({.value = 2}, 0) == std::vector<double>{2, 2});
  CHECK(kept({}, 0.5) == std::vector<double>{4.5, 6});
}

TEST_CASE("what cannot be built is refused") {
  Parameter w = weight("w", {1});
  CHECK_THROWS_WITH_AS(over({w}).build(), "[optimizer] no rule was chosen; add .rule(optim::Sgd{.lr = 0.1}) or another",
                       Error);
  CHECK_THROWS_WITH_AS(over({}).rule(Sgd{}).build(),
                       doctest::Contains("[optimizer] there are no parameters to optimize. Those of a Module"), Error);
  CHECK_THROWS_WITH_AS(over({w, w.renamed("head.w")}).rule(Sgd{}).build(),
                       "[optimizer] 'w' and 'head.w' are one parameter, which would be stepped twice: give it once",
                       Error);
  CHECK_THROWS_WITH_AS(over({w, parameter("tied", w.value())}).rule(Sgd{}).build(),
                       doctest::Contains("[optimizer] 'w' and 'tied' are two parameters over the same memory"), Error);
  CHECK_THROWS_WITH_AS(
      over({w, weight("w", {2})}).rule(Sgd{}).build(),
      "[optimizer] two parameters are called 'w'; state is kept by name, so make them parameters of one "
      "Module, or rename one: p.renamed(\"actor.weight\")",
      Error);
  CHECK_THROWS_WITH_AS(over({w}).rule(Sgd{}).group(every_parameter, {.settings = {{"beta1", 0.5}}}).build(),
                       "[optim] no hyperparameter is called 'beta1'; there are: lr, weight_decay", Error);
  // A rule that was made without momentum has no memory for one.
  CHECK_THROWS_AS(over({w}).rule(Sgd{}).group(every_parameter, {.settings = {{"momentum", 0.5}}}).build(), Error);
  CHECK_THROWS_AS(over({w}).rule(Sgd{}).schedule("hyper.lr", constant()).build(), Error);
  CHECK_THROWS_AS(over({w}).rule(Sgd{}).clip({.norm = -1}), Error);
  CHECK_THROWS_WITH_AS(over({w}).rule(Sgd{}).clip({.value = -1}),
                       "[clip] expects limits of at least 0 (0 is none), got norm 0 and value -1", Error);
  CHECK_THROWS_WITH_AS(over({w}).rule(Sgd{}).group({}, {.lr = 1.0}),
                       "[group] expects a predicate, got an empty function", Error);
}

TEST_CASE("hyperparameters that are out of range are refused, wherever they come from") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  Parameter w = weight("w", {1});
  CHECK_THROWS_WITH_AS(over({w}).rule(Sgd{.lr = -1}).build(), "[optim] expects lr of at least 0, got -1", Error);
  CHECK_THROWS_WITH_AS(over({w}).rule(Sgd{}).weight_decay({.rate = -1}).build(),
                       "[optim] expects weight_decay of at least 0, got -1", Error);
  CHECK_THROWS_WITH_AS(over({w}).rule(Adam{.beta1 = 1, .beta2 = 2}).build(), "[optim] expects beta1 in [0, 1), got 1",
                       Error);
  CHECK_THROWS_WITH_AS(over({w}).rule(Sgd{}).precondition(Fop{.hyper = Adam{.beta2 = 2}}).build(),
                       "[optim] expects hyper.beta2 in [0, 1), got 2", Error);
  const AnyRule wrong[] = {
      Sgd{.momentum = 1},    Sgd{.lr = inf},    Sgd{.lr = nan},           RmsProp{.alpha = -0.1},
      Adam{.eps = -1e-8},    Adam{.eps = nan},  AdaGrad{.lr_decay = nan}, AdamW{.weight_decay = -1},
      Sgd{.momentum = -0.5}, Adam{.beta1 = nan}};
  for (const AnyRule& rule : wrong) {
    CAPTURE(rule.name());
    CHECK_THROWS_AS(over({w}).rule(rule).build(), Error);
    CHECK_THROWS_AS(over({w}).rule(Sgd{}).precondition(SHd{.hyper = rule}).build(), Error);
    CHECK_THROWS_AS(over({w}).rule(Sgd{}).group(every_parameter, {.rule = rule}).build(), Error);
  }
  CHECK_THROWS_AS(over({w}).rule(Sgd{}).group(every_parameter, {.lr = -1.0}).build(), Error);
  CHECK_THROWS_AS(over({w}).rule(Sgd{}).group(every_parameter, {.settings = {{"lr", nan}}}).build(), Error);

  Optimizer optimizer = over({w}).rule(Sgd{.lr = 0, .momentum = 0.5}).precondition(SHd{}).build();
  CHECK_THROWS_WITH_AS(optimizer.set("lr", nan), "[optim] expects lr of at least 0, got nan", Error);
  CHECK_THROWS_AS(optimizer.set("momentum", 1), Error);
  CHECK_THROWS_AS(optimizer.set("hyper.lr", -1), Error);
  CHECK(optimizer.lr() == 0);
  optimizer.set("hyper.lr", 0);
  optimizer.set("hyper.eps", 0);

  w.set_grad(Tensor::ones({1, 1}, DType::float64));
  const auto after = [&](const char* name, double factor) {
    over({w}).rule(Sgd{.momentum = 0.9}).schedule(name, constant(factor)).precondition(SHd{}).build().step();
  };
  CHECK_THROWS_WITH_AS(after("momentum", 2), "[optim] expects momentum in [0, 1), got 1.8", Error);
  CHECK_THROWS_AS(after("lr", nan), Error);
  CHECK_THROWS_AS(after("lr", -1), Error);
  CHECK_THROWS_AS(after("hyper.lr", -1), Error);
  CHECK(values(w)[0] == 1);
  StateDict state = optimizer.state();
  const auto loads = [&](const char* name, const Tensor& value) {
    StateDict wrong = state;
    wrong.at(name) = value;
    optimizer.load(wrong);
  };
  CHECK_THROWS_WITH_AS(loads("group.0/lr", Tensor::from<double>({-3}, {})), "[optim] expects lr of at least 0, got -3",
                       Error);
  CHECK_THROWS_WITH_AS(loads("optimizer/step", Tensor::from<int64_t>({-7}, {})),
                       "[load] expects a step of at least 0 in 'optimizer/step', got -7", Error);
  CHECK(optimizer.steps() == 0);

  CHECK_THROWS_WITH_AS(over({w}).gradient_penalty({.mix = nan}),
                       "[gradient_penalty] expects a finite radius above 0, and a finite rate and mix of at least 0, "
                       "got 0.05, 0 and nan",
                       Error);
  CHECK_THROWS_AS(over({w}).gradient_penalty({.radius = inf, .mix = 1}), Error);
  CHECK_THROWS_WITH_AS(over({w}).gradient_penalty({}),
                       "[gradient_penalty] expects either a rate or a mix above 0, got 0 and 0", Error);
  CHECK_THROWS_AS(over({w}).gradient_penalty({.rate = 1, .mix = 1}), Error);
  CHECK_THROWS_AS(over({w}).bnp({.relative = -1}), Error);
  CHECK_THROWS_AS(over({w}).bnp({.absolute = nan}), Error);
  CHECK_THROWS_AS(over({w}).scale_steps({.max_scale = inf}), Error);
  CHECK_THROWS_AS(over({w}).rule(AdaGrad{.initial_accumulator = -1}).build(), Error);
  CHECK_THROWS_AS(over({w}).rule(AdaGrad{.initial_accumulator = inf}).build(), Error);
  const auto fop = [&](const Fop& options) { over({w}).rule(Sgd{}).precondition(options).build(); };
  CHECK_THROWS_WITH_AS(fop({.rescale = Fop::Rescale{.limit = -1}}),
                       "[fop] expects a finite limit above 0 and a power of at least 0 to rescale by, got -1 and 2",
                       Error);
  CHECK_THROWS_WITH_AS(fop({.init_gain = 0}), "[fop] P = I + M M^T never leaves M = 0: 'w' needs an init_gain above 0",
                       Error);
  CHECK_THROWS_AS(fop({.init_gain = inf}), Error);
  CHECK_THROWS_WITH_AS(fop({.init_gain = -1}), "[fop] expects a finite init_gain of at least 0, got -1", Error);
}

TEST_CASE("a rule that writes to its gradient is named") {
  const Parameter w = weight("w", {1});
  Optimizer optimizer = over({w})
                            .rule(Made{[](const Tensor& g) {
                              Tensor same = g;
                              scale_(same, 2);
                              return same;
                            }})
                            .build();
  w.set_grad(Tensor::ones({1, 1}, DType::float64));
  CHECK_THROWS_WITH_AS(optimizer.step(), doctest::Contains("rule 'own' wrote to the gradient of 'w'"), Error);
}

TEST_CASE("a stage that makes nothing, or another shape, is named") {
  Parameter w = weight("w", {1, 2});
  w.set_grad(Tensor::ones({1, 2}, DType::float64));
  CHECK_THROWS_WITH_AS(over({w}).rule(Made{nullptr}).build(),
                       "[optim] make() of rule 'own' gave none for a parameter [1,2]", Error);
  const Made::Direction one = [](const Tensor&) { return Tensor::ones({1}, DType::float64); };
  CHECK_THROWS_WITH_AS(over({w}).rule(Made{one}).build().step(),
                       "[optimizer] rule 'own' made a tensor [1] of the gradient of 'w', which is [1,2]", Error);
  const Made::Direction none = [](const Tensor&) { return Tensor(); };
  CHECK_THROWS_WITH_AS(over({w}).rule(Made{none}).precondition(SHd{}).build().step(),
                       "[optimizer] rule 'own' made an undefined tensor of the gradient of 'w', which is [1,2]", Error);
  CHECK(values(w)[0] == 1);
}

TEST_CASE("a gradient that does not fit is refused before anything changes") {
  // set_grad() knows the value that a parameter was made with, and the optimizer the one that replaced it.
  const auto refuses = [](const Tensor& replaced, const char* message) {
    Parameter a = weight("a", {1}), b = weight("b", {1, 2});
    b.mutable_value() = replaced;
    Optimizer optimizer = over({a, b}).rule(Sgd{.lr = 1}).build();
    a.set_grad(Tensor::ones({1, 1}, DType::float64));
    b.set_grad(Tensor::ones({1, 2}, DType::float64));
    CHECK_THROWS_WITH_AS(optimizer.step(), message, Error);
    CHECK(values(a)[0] == 1);
    CHECK(optimizer.steps() == 0);
  };
  refuses(Tensor::ones({2}, DType::float64), "[optimizer] parameter 'b' is [2], but its gradient is [1,2]");
  refuses(Tensor::ones({1, 2}), "[optimizer] parameter 'b' is float32, but its gradient is float64");
}
