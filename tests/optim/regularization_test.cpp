// The penalties and their identities: L2 and L1 on the parameter and on the intrinsic variable, the gradient penalty on
// both, SAM.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "autograd/ops.h"
#include "core/error.h"
#include "optim/contrib/lion.h"
#include "optim/optimizer.h"
#include "tests/optim/parameters.h"

using namespace gradus;
using namespace gradus::optim;

namespace {

Parameter weight(std::initializer_list<double> values, const char* name = "w") {
  const auto n = static_cast<int64_t>(values.size());
  return {Tensor::from<double>(values, {1, n}),
          {.name = name, .layer = LayerKind::linear, .role = ParamRole::weight, .out = 1, .in = n}};
}
Tensor row(std::initializer_list<double> v) { return Tensor::from<double>(v, {1, static_cast<int64_t>(v.size())}); }

Var loss(const Var& w) { return sum(square(sin(w)) * row({1, 2, 3}) + w * row({0.3, -0.2, 0.1})); }

/// One step along gradient 1 of a rule whose diagonal B is known beforehand: Adam's first step has B = 1 / (|g| + eps).
std::vector<double> after(const AnyRule& rule, L1 l1, std::initializer_list<double> p,
                          std::initializer_list<double> g) {
  Parameter w = weight(p);
  Optimizer optimizer = over({w}).rule(rule).l1(l1).build();
  w.set_grad(row(g));
  optimizer.step();
  return values(w);
}

/// A rule with a fixed diagonal B, for identities.
struct Diagonal {
  Tensor b;
  double lr = 0.1;
  static constexpr const char* name = "diagonal";
  Settings settings() const { return {{"lr", lr}}; }
  std::unique_ptr<Rule> make(const Tensor&) const {
    struct Scaled final : Rule {
      explicit Scaled(Tensor b) : b(std::move(b)) {}
      Tensor direction(const Tensor& gradient, const Settings&) override { return gradient * b; }
      void slots(Slots&) override {}
      std::optional<Tensor> diagonal(const Settings&) const override { return b; }
      Tensor b;
    };
    return std::make_unique<Scaled>(b);
  }
};

}  // namespace

TEST_CASE("decoupled decay is L2 on z: gradient descent on z with lam/2 |z|^2, p = P z, to rounding") {
  const Tensor b = row({0.25, 2, 9}), root = sqrt(b);
  const double lr = 0.05, lam = 0.3;
  Parameter p = weight({1, -2, 0.5});
  Optimizer on_p = over({p}).rule(Diagonal{b, lr}).weight_decay({.rate = lam, .mode = DecayMode::decoupled}).build();
  Parameter z = {p.value() / root, p.info()};
  Optimizer on_z = over({z}).rule(Sgd{.lr = lr}).build();
  for (int i = 0; i < 20; ++i) {
    on_p.step([&] { loss(p).backward(); });
    on_z.step([&] { (loss(z * root) + sum(square(z)) * (lam / 2)).backward(); });
  }
  const std::vector<double> ours = values(p), expected = (z.value() * root).to_vector<double>();
  for (size_t i = 0; i < 3; ++i) CHECK(ours[i] == doctest::Approx(expected[i]).epsilon(1e-13));
}

TEST_CASE("decoupled L1 is L1 on z: descent on z with lam |z|_1, p = P z, to rounding") {
  const Tensor b = row({0.25, 2, 9}), root = sqrt(b);
  const double lr = 0.02, lam = 0.1;
  Parameter p = weight({1, -2, 0.5});
  Optimizer on_p = over({p}).rule(Diagonal{b, lr}).l1({.rate = lam, .mode = L1Mode::decoupled}).build();
  Parameter z = {p.value() / root, p.info()};
  Optimizer on_z = over({z}).rule(Sgd{.lr = lr}).build();
  for (int i = 0; i < 20; ++i) {
    on_p.step([&] { loss(p).backward(); });
    on_z.step([&] { (loss(z * root) + sum(abs(z)) * lam).backward(); });
  }
  const std::vector<double> ours = values(p), expected = (z.value() * root).to_vector<double>();
  for (size_t i = 0; i < 3; ++i) CHECK(ours[i] == doctest::Approx(expected[i]).epsilon(1e-12));
}

TEST_CASE("the four modes of L1 make the steps that a computation by hand gives") {
  // Adam's first step: the direction is g / (|g| + eps), B = 1 / (|g| + eps).
  const Adam adam{.lr = 0.1, .eps = 0};
  const auto coupled = after(Sgd{.lr = 0.1}, {.rate = 0.5}, {1, -1, 0}, {1, 1, 1});
  CHECK(coupled[0] == doctest::Approx(1 - 0.1 * 1.5));
  CHECK(coupled[1] == doctest::Approx(-1 - 0.1 * 0.5));
  CHECK(coupled[2] == doctest::Approx(-0.1));
  const auto decoupled = after(adam, {.rate = 0.5, .mode = L1Mode::decoupled}, {1, -1, 0}, {4, 4, 4});
  CHECK(decoupled[0] == doctest::Approx(1 - 0.1 - 0.1 * 0.5 / 2));
  CHECK(decoupled[1] == doctest::Approx(-1 - 0.1 + 0.1 * 0.5 / 2));
  CHECK(decoupled[2] == doctest::Approx(-0.1));
  const auto proximal = after(adam, {.rate = 0.8, .mode = L1Mode::proximal}, {1, 0.11, -0.5}, {4, 4, 4});
  CHECK(proximal[0] == doctest::Approx(0.9 - 0.1 * 0.8 / 4));
  CHECK(proximal[1] == 0);  // 0.01 is less than the threshold of 0.02
  CHECK(proximal[2] == doctest::Approx(-0.6 + 0.1 * 0.8 / 4));
  const auto both = after(adam, {.rate = 0.8, .mode = L1Mode::decoupled_proximal}, {1, 0.13, -0.5}, {4, 4, 4});
  CHECK(both[0] == doctest::Approx(0.9 - 0.1 * 0.8 / 2));
  CHECK(both[1] == 0);  // 0.03 is less than 0.04
  CHECK(both[2] == doctest::Approx(-0.6 + 0.1 * 0.8 / 2));
}

TEST_CASE("L1 is a hyperparameter that reaches the parameters that its predicate names") {
  Parameter a = weight({1}, "a"), b = weight({1}, "b");
  Optimizer optimizer = over({a, b}).rule(Sgd{.lr = 1}).l1({.rate = 0.25, .where = named("a")}).build();
  for (const Parameter& p : {a, b}) p.set_grad(row({0}));
  CHECK(optimizer.settings().at("l1") == 0.25);
  optimizer.step();
  CHECK(values(a)[0] == 0.75);
  CHECK(values(b)[0] == 1);
  optimizer.set("l1", 0.0);
  optimizer.step();
  CHECK(values(a)[0] == 0.75);
}

TEST_CASE("every rule that says how it scales says so of the step that it made") {
  for (const AnyRule& rule :
       {AnyRule(Adam{.lr = 1, .beta1 = 0}), AnyRule(RmsProp{.lr = 1}), AnyRule(AdaGrad{.lr = 1, .lr_decay = 0.5}),
        AnyRule(Sgd{.lr = 1}), AnyRule(RmsProp{.lr = 1, .centered = true})}) {
    CAPTURE(rule.name());
    const Tensor g = row({1, -2, 0.5});
    const auto made = rule.make(g);
    CHECK_FALSE(made->diagonal(rule.settings())->defined());
    for (int i = 0; i < 3; ++i) {
      const Tensor d = made->direction(g, rule.settings());
      const Tensor b = *made->diagonal(rule.settings());
      const Tensor expected = b.defined() ? g * b : g;
      for (size_t k = 0; k < 3; ++k)
        CHECK(d.to_vector<double>()[k] == doctest::Approx(expected.to_vector<double>()[k]).epsilon(1e-12));
    }
  }
}

TEST_CASE("SAM is the gradient penalty with mix 1: the gradient at p + radius g / |g|, bit for bit") {
  const double radius = 0.1;
  Parameter p = weight({1, -2, 0.5}), q = weight({1, -2, 0.5});
  Optimizer ours = over({p}).rule(Sgd{.lr = 0.05, .momentum = 0.9}).gradient_penalty(sam(radius)).build();
  Optimizer plain = over({q}).rule(Sgd{.lr = 0.05, .momentum = 0.9}).build();
  for (int i = 0; i < 10; ++i) {
    ours.step([&] { loss(p).backward(); });
    const Tensor at = clone(q.value());
    loss(q).backward();
    const Tensor g = q.grad();
    add_(q.mutable_value(), g, radius / std::sqrt(dot(g, g)));
    q.clear_grad();
    loss(q).backward();
    copy_(q.mutable_value(), at);
    plain.step();
    q.clear_grad();
    CHECK(values(p) == values(q));
  }
}

TEST_CASE("the gradient penalty is the gradient of L + rate/2 |grad L|^2 up to the radius, on p and on z") {
  const double rate = 0.2, lr = 0.1;
  for (bool intrinsic : {false, true}) {
    CAPTURE(intrinsic);
    const Tensor b = row({0.25, 2, 4});
    Parameter p = weight({1, -2, 0.5});
    // Exactly: grad + rate H B g, by double backward.
    const Var w = Var::leaf(clone(p.value()));
    const Var g = grad(loss(w), w, {.create_graph = true});
    const Var penalized = loss(w) + sum(square(g) * (intrinsic ? b : row({1, 1, 1}))) * (rate / 2);
    const Tensor expected = w.value() - b * grad(penalized, w).value() * lr;
    Optimizer optimizer = over({p})
                              .rule(Diagonal{b, lr})
                              .gradient_penalty({.radius = 1e-7, .rate = rate, .intrinsic = intrinsic})
                              .build();
    optimizer.step([&] { loss(p).backward(); });
    for (size_t i = 0; i < 3; ++i)  // an error of first order in the radius
      CHECK(values(p)[i] == doctest::Approx(expected.to_vector<double>()[i]).epsilon(1e-6));
  }
}

TEST_CASE(
    "after a step with a penalty the gradients are those of the first point, and a throw restores the parameters") {
  Parameter p = weight({1, -2, 0.5});
  Optimizer optimizer = over({p}).rule(Sgd{.lr = 0}).gradient_penalty(sam()).build();
  optimizer.step([&] { loss(p).backward(); });
  const Var w = Var::leaf(clone(p.value()));
  CHECK(p.grad().to_vector<double>() == grad(loss(w), w).value().to_vector<double>());
  const std::vector<double> before = values(p);
  int calls = 0;
  CHECK_THROWS(optimizer.step([&] {
    if (++calls == 2) throw Error(ErrorKind::value, "no");
    loss(p).backward();
  }));
  CHECK(calls == 2);
  CHECK(values(p) == before);
}

TEST_CASE("after a step with a penalty parameters that have memory in common are as they were, too") {
  const Tensor shared = row({1, 2, 3});
  Parameter a(slice(shared, 0, 0, 2), {.name = "a"}), b(slice(shared, 0, 1, 3), {.name = "b"});
  Optimizer optimizer = over({a, b}).rule(Sgd{.lr = 0}).gradient_penalty(sam(0.25)).build();
  optimizer.step([&] { sum(square(a) + b).backward(); });
  CHECK(shared.to_vector<double>() == std::vector<double>{1, 2, 3});
}

TEST_CASE("with a penalty the curvature is that of the first point") {
  const auto step_of = [](bool scaled, bool penalized) {
    Parameter p = weight({1, -2, 0.5});
    Builder builder = over({p});
    builder.rule(scaled ? AnyRule(Sgd{.lr = 0.1}) : AnyRule(AdaHesScale{.lr = 0.1}));
    if (scaled) builder.scale_steps({.delta = 1e-4});
    if (penalized) builder.gradient_penalty({.radius = 0.5, .mix = 1e-12});
    Optimizer optimizer = builder.build();
    const auto backward = [&] { optimizer.backward(sum(square(square(p)))); };
    for (int step = 0; step < 3; ++step) optimizer.step(backward);
    return values(p);
  };
  for (const bool scaled : {false, true}) {
    CAPTURE(scaled);
    const std::vector<double> plain = step_of(scaled, false), penalized = step_of(scaled, true);
    for (size_t i = 0; i < plain.size(); ++i) CHECK(penalized[i] == doctest::Approx(plain[i]).epsilon(1e-9));
  }
}

TEST_CASE("the intrinsic point uphill is that of the step, whichever of preconditioner and rule comes first") {
  // P = [2 1; 1 2] and B = diag(1, 0.1) at g = (1, 10): P B g = (3, 3), B P g = (12, 2.1).
  for (const ActsOn acts_on : {ActsOn::gradient, ActsOn::direction}) {
    const bool on_direction = acts_on == ActsOn::direction;
    CAPTURE(on_direction);
    Parameter p(row({0, 0}), {"p", LayerKind::linear, ParamRole::weight, 1, 2});
    p = Parameter(reshape(p.value(), {1, 2}), p.info());
    Optimizer optimizer =
        over({p})
            .rule(Diagonal{row({1, 0.1}), 0})
            .precondition(Fop{.hyper = Sgd{.lr = 0}, .form = Fop::Form::direct, .learning = {.acts_on = acts_on}})
            .gradient_penalty({.radius = 1, .mix = 1, .intrinsic = true})
            .build();
    StateDict state = optimizer.state();
    state.at("p/fop.direct") = Tensor::from<double>({2, 1, 1, 2}, {2, 2});
    optimizer.load(state);
    std::vector<double> uphill;
    optimizer.step([&] {
      uphill = values(p);
      p.set_grad(Tensor::from<double>({1, 10}, {1, 2}));
    });
    const double x = on_direction ? 3 : 12, y = on_direction ? 3 : 2.1;
    CHECK(uphill[0] == doctest::Approx(x / std::hypot(x, y)));
    CHECK(uphill[1] == doctest::Approx(y / std::hypot(x, y)));
  }
}

TEST_CASE("penalties compose with FOP, clipping and decay") {
  Parameter p = weight({1, -2, 0.5});
  Optimizer optimizer = over({p})
                            .rule(Adam{.lr = 0.02})
                            .precondition(Fop{})
                            .clip({.norm = 1})
                            .weight_decay({.rate = 0.01, .mode = DecayMode::decoupled})
                            .l1({.rate = 1e-3})
                            .gradient_penalty({.radius = 0.01, .rate = 0.01, .intrinsic = true})
                            .build();
  const double before = loss(p).item();
  for (int i = 0; i < 50; ++i) optimizer.step([&] { loss(p).backward(); });
  CHECK(loss(p).item() < before - 0.5);
}

TEST_CASE("what cannot be penalized is refused") {
  Parameter w = weight({1, 2, 3});
  CHECK_THROWS_WITH_AS(over({w}).rule(Lion{}).l1({.rate = 1, .mode = L1Mode::decoupled}).build(),
                       "[l1] rule 'lion' of 'w' does not scale by a diagonal, which this mode needs; L1Mode::coupled "
                       "needs none",
                       Error);
  CHECK_THROWS_WITH_AS(
      over({w}).rule(Sgd{}).precondition(Fop{}).l1({.rate = 1, .mode = L1Mode::proximal}).build(),
      "[l1] 'w' has the preconditioner 'fop', whose inverse this mode would need; L1Mode::coupled does not", Error);
  CHECK_THROWS_WITH_AS(over({w}).rule(Sgd{}).l1({.rate = -1}), "[l1] expects a finite rate of at least 0, got -1",
                       Error);
  CHECK_THROWS_AS(over({w}).rule(Sgd{}).gradient_penalty({.radius = 0}), Error);
  Optimizer optimizer = over({w}).rule(Sgd{}).gradient_penalty(sam()).build();
  CHECK_THROWS_WITH_AS(optimizer.step(),
                       "[optimizer] with a gradient penalty a step needs the loss at two points: call step(backward)",
                       Error);
  CHECK_THROWS_WITH_AS(over({w}).rule(Lion{}).gradient_penalty({.mix = 1, .intrinsic = true}).build(),
                       "[gradient_penalty] rule 'lion' of 'w' does not scale by a diagonal, which .intrinsic needs",
                       Error);
}
