// AdaHesScale, AdaHessian and step scaling against their formulas, spelled out number by number.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops.h"
#include "core/error.h"
#include "optim/optimizer.h"

using namespace gradus;
using namespace gradus::optim;

namespace {

constexpr double lr = 0.02, beta1 = 0.8, beta2 = 0.95, eps = 1e-3;

Tensor noise(const Shape& shape, uint64_t stream, DType dtype) {
  return random_normal(shape, 0, 1, {.seed = 2, .stream = stream}, dtype);
}

Parameter parameter(const Shape& shape, DType dtype) { return {noise(shape, 0, dtype), {.name = "w"}}; }

/// The largest distance to theta <- theta - lr (m / c1) / denominator over steps of random gradients and curvatures,
/// with the curvature that the rule makes of h.
double distance(
    const AnyRule& rule, const Shape& shape, DType dtype, bool magnitudes, bool root,
    const std::function<Tensor(const Tensor&)>& made = [](const Tensor& h) { return h; }) {
  Parameter w = parameter(shape, dtype);
  Optimizer optimizer = over({w}).rule(rule).build();
  std::vector<double> theta = cast(w.value(), DType::float64).to_vector<double>();
  std::vector<double> m(theta.size()), v(theta.size());
  double worst = 0;
  for (uint64_t t = 1; t <= 10; ++t) {
    const Tensor g = noise(shape, 2 * t, dtype), h = noise(shape, 2 * t + 1, dtype);
    w.set_grad(g);
    w.set_curvature(h);
    optimizer.step();
    const auto gradient = cast(g, DType::float64).to_vector<double>();
    const auto curvature = cast(made(h), DType::float64).to_vector<double>();
    const auto ours = cast(w.value(), DType::float64).to_vector<double>();
    for (size_t i = 0; i < theta.size(); ++i) {
      m[i] = beta1 * m[i] + (1 - beta1) * gradient[i];
      v[i] = beta2 * v[i] + (1 - beta2) * (magnitudes ? std::abs(curvature[i]) : curvature[i] * curvature[i]);
      const double corrected = v[i] / (1 - std::pow(beta2, t));
      theta[i] -= lr * m[i] / (1 - std::pow(beta1, t)) / ((root ? std::sqrt(corrected) : corrected) + eps);
      worst = std::max(worst, std::abs(theta[i] - ours[i]));
    }
  }
  return worst;
}

/// A sum of squares whose curvature is 2 c.
Var bowl(const Var& x, double c) { return sum(square(x)) * c; }

}  // namespace

TEST_CASE("AdaHesScale follows each of its three denominators, fused and not") {
  using D = AdaHesScale::Denominator;
  for (D denominator : {D::rms, D::root, D::plain}) {
    const AdaHesScale rule{.lr = lr, .beta1 = beta1, .beta2 = beta2, .eps = eps, .denominator = denominator};
    const bool magnitudes = denominator != D::rms, root = denominator != D::plain;
    CHECK(distance(rule, {4, 7}, DType::float64, magnitudes, root) < 1e-13);
    // Ten steps of a few roundings each, of numbers up to about 5 (plain divides by averages of |h| of 0.5 and above).
    CHECK(distance(rule, {4, 700}, DType::float32, magnitudes, root) < 10 * 8 * 5 * 0x1p-24);
  }
}

TEST_CASE("AdaHessian averages the curvature of a convolution over the positions of its kernel") {
  const AdaHessian rule{.lr = lr, .beta1 = beta1, .beta2 = beta2, .eps = eps};
  CHECK(distance(rule, {4, 7}, DType::float64, false, true) < 1e-13);
  CHECK(distance(rule, {2, 3, 3, 3}, DType::float64, false, true, [](const Tensor& h) {
          return expand(mean(abs(h), {2, 3}, true), h.shape());
        }) < 1e-13);
}

TEST_CASE("backward() of an optimizer leaves the curvature that its rule asks for, and plain gradients otherwise") {
  const Parameter x = parameter({3}, DType::float64);
  const auto after = [&](const AnyRule& rule) {
    Optimizer optimizer = over({x}).rule(rule).build();
    optimizer.zero_grad();
    optimizer.backward(bowl(x, 3));
    return x.curvature();
  };
  CHECK(!after(Adam{}).defined());
  CHECK(after(AdaHesScale{}).to_vector<double>() == std::vector<double>{6, 6, 6});
  CHECK(after(AdaHesScale{.curvature = {.method = CurvatureMethod::hesscale_gn}}).to_vector<double>() ==
        std::vector<double>{0, 0, 0});  // square() is no loss
  CHECK(after(AdaHessian{}).to_vector<double>() == std::vector<double>{6, 6, 6});
}

TEST_CASE("AdaHessian draws other signs at every step, and the same in the same step") {
  const Parameter x = parameter({40}, DType::float64), y = parameter({40}, DType::float64);
  const auto product = [](const Var& v) { return sum(slice(v, 0, 0, 20) * slice(v, 0, 20, 40)); };  // h is +-1
  const auto drawn = [&](const Parameter& p, Optimizer& optimizer) {
    optimizer.zero_grad();
    optimizer.backward(product(p));
    const auto h = p.curvature().to_vector<double>();
    optimizer.step();
    return h;
  };
  Optimizer a = over({x}).rule(AdaHessian{}).build(), b = over({y}).rule(AdaHessian{}).build();
  const auto first = drawn(x, a), second = drawn(x, a);
  CHECK(first != second);
  CHECK(first == drawn(y, b));
}

TEST_CASE("step scaling keeps the curvature along the step within its bound") {
  for (const bool magnitudes : {false, true}) {
    const Parameter x(Tensor::from<double>({1, 2}, {2}), {.name = "x"}),
        y(Tensor::from<double>({3}, {1}), {.name = "y"});
    const StepScaling scaling{.delta = 1e-3, .beta2 = 0.9, .magnitudes = magnitudes};
    Optimizer optimizer = over({x, y}).rule(Sgd{.lr = 0.1}).scale_steps(scaling).build();
    CHECK(optimizer.step_scale() == 1);
    optimizer.backward(bowl(x, 0.5) + bowl(y, 2));  // gradients x and 4 y, curvatures 1 and 4
    optimizer.step();
    // One step's average is 0.1 h, or the root of 0.1 h^2.
    const double share = magnitudes ? 0.1 : std::sqrt(0.1), along = share * 0.01 * (1 + 4 + 4 * 144);
    const double scale = std::sqrt(2e-3 / along);
    CHECK(optimizer.step_scale() == doctest::Approx(scale).epsilon(1e-14));
    CHECK(x.value().to_vector<double>()[1] == doctest::Approx(2 - scale * 0.1 * 2).epsilon(1e-14));
    CHECK(y.value().item() == doctest::Approx(3 - scale * 0.1 * 12).epsilon(1e-14));
  }
}

TEST_CASE("with averages corrected for their start, every step keeps the bound exactly where curvature is constant") {
  for (const bool magnitudes : {false, true}) {
    const Parameter x(Tensor::from<double>({1, 2}, {2}), {.name = "x"});
    const StepScaling scaling{.delta = 1e-3, .beta2 = 0.9, .magnitudes = magnitudes, .corrected = true};
    Optimizer optimizer = over({x}).rule(Sgd{.lr = 0.1}).scale_steps(scaling).build();
    for (int step = 0; step < 3; ++step) {
      const auto before = x.value().to_vector<double>();
      optimizer.zero_grad();
      optimizer.backward(bowl(x, 2));  // curvature 4
      optimizer.step();
      const auto after = x.value().to_vector<double>();
      double term = 0;
      for (size_t i = 0; i < 2; ++i) term += 0.5 * 4 * (after[i] - before[i]) * (after[i] - before[i]);
      CHECK(term == doctest::Approx(1e-3).epsilon(1e-12));
    }
  }
}

TEST_CASE("a step within the bound is not scaled, and decay is not either") {
  const Parameter x(Tensor::from<double>({1}, {1}), {.name = "x", .role = ParamRole::weight}),
      y(x.value() * 1.0, x.info());
  const WeightDecay decay{.rate = 0.5, .mode = DecayMode::decoupled};
  Optimizer scaled = over({x}).rule(Adam{.lr = 0.1}).weight_decay(decay).scale_steps({.delta = 100}).build();
  Optimizer plain = over({y}).rule(Adam{.lr = 0.1}).weight_decay(decay).build();
  scaled.backward(bowl(x, 1));
  plain.backward(bowl(y, 1));
  scaled.step();
  plain.step();
  CHECK(scaled.step_scale() == 1);
  CHECK(x.value().item() == doctest::Approx(y.value().item()).epsilon(1e-15));

  const Parameter z(Tensor::from<double>({1}, {1}), x.info());
  Optimizer tight = over({z}).rule(Adam{.lr = 0.1}).weight_decay(decay).scale_steps({.delta = 1e-9}).build();
  tight.backward(bowl(z, 1));
  tight.step();
  CHECK(z.value().item() == doctest::Approx(1 - 0.05 - 0.1 * tight.step_scale()).epsilon(1e-12));
  CHECK(tight.step_scale() < 0.01);
}

TEST_CASE("the hypergradient has the step size that was made, its scaling included, also after loading") {
  const auto learned = [](const SHd& preconditioner) {
    const auto made = [&](const Parameter& w) {
      return over({w}).rule(Sgd{.lr = 0.1}).precondition(preconditioner).scale_steps({.delta = 1e-6}).build();
    };
    const auto step = [](Parameter w, Optimizer& optimizer) {
      w.set_grad(Tensor::ones({1, 2}, DType::float64));
      w.set_curvature(Tensor::ones({1, 2}, DType::float64));
      optimizer.step();
    };
    const ParamInfo info{.name = "w", .layer = LayerKind::linear, .role = ParamRole::weight};
    const Parameter w(Tensor::ones({1, 2}, DType::float64), info), v(Tensor::ones({1, 2}, DType::float64), info);
    Optimizer optimizer = made(w), resumed = made(v);
    step(w, optimizer);
    const double scale = optimizer.step_scale();
    CHECK(scale < 0.1);
    StateDict state = optimizer.state();
    for (auto& [name, tensor] : state) tensor = clone(tensor);
    resumed.load(state);
    CHECK(resumed.step_scale() == scale);
    const char* slot = preconditioner.form == SHd::Form::baydin ? "w/s-hd.learning_rate" : "w/s-hd.scale";
    const double before = state.at(slot).item();
    step(w, optimizer);
    step(v, resumed);
    const double after = optimizer.state().at(slot).item();
    CHECK(resumed.state().at(slot).item() == after);
    return std::pair(after - before, scale);
  };
  const auto [change, scale] = learned({.hyper = Sgd{.lr = 1}});
  CHECK(change == doctest::Approx(0.1 * scale * 2).epsilon(1e-12));  // lr scale <g, g>
  const auto [of_rate, rate_scale] = learned({.hyper = Sgd{.lr = 1}, .form = SHd::Form::baydin});
  CHECK(of_rate == doctest::Approx(rate_scale * 2).epsilon(1e-12));  // theta moves by scale e g
  const auto [plain, unused] = learned({.hyper = Sgd{.lr = 1}, .learning = {.include_lr = false}});
  CHECK(plain == doctest::Approx(2).epsilon(1e-12));
}

TEST_CASE("step scaling refuses curvature that is not finite before anything changes") {
  for (const bool magnitudes : {false, true})
    for (const float bad : {std::nanf(""), HUGE_VALF, 1e30F}) {
      CAPTURE(magnitudes);
      CAPTURE(bad);
      Parameter x(Tensor::ones({2}), {.name = "x"}), y(Tensor::ones({2}), {.name = "y"});
      Optimizer optimizer = over({x, y}).rule(Adam{}).scale_steps({.delta = 1e-12, .magnitudes = magnitudes}).build();
      x.set_grad(Tensor::ones({2}));
      y.set_grad(Tensor::ones({2}));
      x.set_curvature(Tensor::ones({2}));
      y.set_curvature(Tensor::from<float>({1, bad}, {2}));
      if (magnitudes && bad == 1e30F) {  // only its square is too large for float32
        optimizer.step();
        continue;
      }
      CHECK_THROWS_WITH_AS(optimizer.step(),
                           doctest::Contains("[optimizer] expects finite curvature, but parameter 'y' has"), Error);
      CHECK(optimizer.steps() == 0);
      CHECK(norm(x.value() - Tensor::ones({2})) == 0);
      const StateDict state = optimizer.state();
      const std::string average = magnitudes ? "scaling.magnitude" : "scaling.curvature";
      for (const std::string& slot : {std::string("x/adam.first_moment"), "x/" + average, "y/" + average})
        CHECK(norm(state.at(slot)) == 0);
      y.set_curvature(Tensor::ones({2}));
      optimizer.step();
      CHECK(optimizer.step_scale() < 1);
    }
}

TEST_CASE("a rule refuses curvature whose square is not finite, which would hold a weight still for ever") {
  Parameter x(Tensor::ones({2}), {.name = "x"});
  Optimizer optimizer = over({x}).rule(AdaHesScale{}).build();
  x.set_grad(Tensor::ones({2}));
  x.set_curvature(Tensor::from<float>({1, 3e19F}, {2}));
  CHECK_THROWS_WITH_AS(optimizer.step(),
                       "[optimizer] expects finite curvature, but parameter 'x' has some that is inf or nan, or whose "
                       "square is: leave the batch out, or use a smaller learning rate",
                       Error);
  CHECK(norm(optimizer.state().at("x/adahesscale.second_moment")) == 0);
  // where steps are scaled by averages of |h|, too
  Optimizer scaled = over({x}).rule(AdaHesScale{}).scale_steps({.magnitudes = true}).build();
  CHECK_THROWS_AS(scaled.step(), Error);
}

TEST_CASE("steps are scaled up to max_scale where the bound allows it") {
  Parameter x(Tensor::from<double>({1}, {1}), {.name = "x"});
  Optimizer optimizer = over({x}).rule(Sgd{.lr = 0.125}).scale_steps({.delta = 1, .max_scale = 4}).build();
  x.set_grad(Tensor::ones({1}, DType::float64));
  x.set_curvature(Tensor::full({1}, 1e-6, DType::float64));
  optimizer.step();
  CHECK(optimizer.step_scale() == 4);
  CHECK(x.value().item() == 0.5);
}

TEST_CASE("steps that were left out have no say in how a running average is corrected, also after loading") {
  const auto scale_after = [](int skipped, bool resumed) {
    Parameter x(Tensor::ones({1}, DType::float64), {.name = "x"});
    const auto make = [&] {
      return over({x}).rule(Sgd{.lr = 1}).scale_steps({.delta = 1e-3, .corrected = true}).build();
    };
    Optimizer first = make(), second = make();
    const auto step = [&](Optimizer& optimizer) {
      x.set_grad(Tensor::ones({1}, DType::float64));
      x.set_curvature(Tensor::ones({1}, DType::float64));
      optimizer.step();
    };
    for (int i = 0; i < skipped; ++i) first.skip();
    step(first);
    second.load(first.state());
    Optimizer& optimizer = resumed ? second : first;
    step(optimizer);
    return optimizer.step_scale();
  };
  CHECK(scale_after(0, false) == doctest::Approx(std::sqrt(2e-3)));
  CHECK(scale_after(100, false) == scale_after(0, false));
  CHECK(scale_after(100, true) == scale_after(0, false));
}

TEST_CASE("what averages magnitudes of curvature is not loaded as what averages squares") {
  Parameter x(Tensor::ones({1}, DType::float64), {.name = "x"});
  const auto refuses = [](const Optimizer& from, Optimizer to) {
    CHECK_THROWS_WITH_AS(to.load(clone(from.state())), doctest::Contains("missing"), Error);
  };
  using D = AdaHesScale::Denominator;
  const auto rule = [&](D denominator) { return over({x}).rule(AdaHesScale{.denominator = denominator}).build(); };
  refuses(rule(D::rms), rule(D::plain));
  refuses(rule(D::root), rule(D::rms));
  rule(D::root).load(clone(rule(D::plain).state()));  // both average |h|
  const auto scaled = [&](bool magnitudes) {
    return over({x}).rule(Sgd{}).scale_steps({.magnitudes = magnitudes}).build();
  };
  refuses(scaled(false), scaled(true));
  const ParamInfo info{.name = "w", .layer = LayerKind::linear, .role = ParamRole::weight};
  const Parameter w(Tensor::ones({1, 2}), info);
  const auto learned = [&](const AnyPreconditioner& p) { return over({w}).rule(Sgd{}).precondition(p).build(); };
  refuses(learned(SHd{}), learned(SHd{.form = SHd::Form::positive}));
  refuses(learned(SHd{.form = SHd::Form::baydin}), learned(SHd{.learning = {.acts_on = ActsOn::direction}}));
  refuses(learned(PpHd{}), learned(PpHd{.positive = true}));
}

TEST_CASE("where steps are scaled, a gradient after one that stayed away has no predecessor") {
  const ParamInfo info{.name = "w", .layer = LayerKind::linear, .role = ParamRole::weight};
  Parameter w(Tensor::ones({1, 2}, DType::float64), info);
  Optimizer optimizer = over({w}).rule(Sgd{}).precondition(SHd{.hyper = Sgd{.lr = 1}}).scale_steps({}).build();
  for (const bool comes : {true, false, true}) {
    w.clear_grad();
    if (comes) {
      w.set_grad(Tensor::ones({1, 2}, DType::float64));
      w.set_curvature(Tensor::ones({1, 2}, DType::float64));
    }
    optimizer.step();
    CHECK(optimizer.state().at("w/s-hd.scale").item() == 1);
  }
}

TEST_CASE("a parameter without elements is no obstacle to scaled steps") {
  Parameter x(Tensor::ones({1}), {.name = "x"}), none(Tensor::ones({0}), {.name = "none"});
  Optimizer optimizer = over({x, none}).rule(Sgd{.lr = 0.5}).scale_steps({.delta = 1e6}).build();
  for (const Parameter& p : {x, none}) {
    p.set_grad(Tensor::ones(p.shape()));
    p.set_curvature(Tensor::ones(p.shape()));
  }
  optimizer.step();
  CHECK(x.value().item() == 0.5);
}

TEST_CASE("curvature that is missing, contradictory or out of place is explained") {
  const Parameter x = parameter({3}, DType::float32);
  Optimizer optimizer = over({x}).rule(AdaHesScale{}).build();
  bowl(x, 1).backward();
  CHECK_THROWS_WITH_AS(
      optimizer.step(),
      "[optimizer] parameter 'w' has a gradient but no curvature: call optimizer.backward(loss) in place "
      "of loss.backward()",
      Error);
  CHECK_THROWS_WITH_AS(over({x}).rule(AdaHessian{}).scale_steps({}).build(),
                       doctest::Contains("one part asks for hesscale and another for hutchinson"), Error);
  CHECK_THROWS_WITH_AS(over({x}).rule(AdaHesScale{}).scale_steps({.curvature = {.estimate_missing = true}}).build(),
                       doctest::Contains("two parts ask for hesscale with different samples, key or other options"),
                       Error);
  CHECK_THROWS_WITH_AS(over({x}).rule(Sgd{}).precondition(PpHd{.hyper = AdaHesScale{}}).build(),
                       doctest::Contains("come without curvature, which the inner rule 'adahesscale' needs"), Error);
  CHECK_THROWS_WITH_AS(over({x}).scale_steps({.delta = 0}),
                       doctest::Contains("expects finite delta and max_scale above 0"), Error);
  CHECK_THROWS_WITH_AS(over({x}).scale_steps({.beta2 = 1}), doctest::Contains("beta2 in [0, 1), got 0.0001, 1 and 1"),
                       Error);
  Optimizer scaled = over({x}).rule(Sgd{}).scale_steps({}).build();
  CHECK_THROWS_WITH_AS(scaled.step(), doctest::Contains("'w' has a gradient but no curvature"), Error);
}
