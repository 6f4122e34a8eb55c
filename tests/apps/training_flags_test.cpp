#include "apps/common/training_flags.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "apps/common/command_line.h"
#include "apps/common/runaway.h"
#include "autograd/ops.h"
#include "core/ops.h"
#include "optim/registry.h"

namespace gradus::apps {
namespace {

// Factors of the learning rate over 4 epochs of 10 steps.
TrainingFlags flags_of(const char* schedule, double warmup) {
  TrainingFlags flags;
  flags.epochs = 4;
  flags.schedule = schedule;
  flags.warmup = warmup;
  flags.lr_drop = "1,3";
  return flags;
}

TEST_CASE("more epochs than can be counted in steps are bad usage") {
  const auto give = [](const char* name, const char* value) {
    TrainingFlags flags;
    CommandLine line("a test", "");
    flags.add_to(line);
    line.give(name, value);
  };
  CHECK_THROWS(give("epochs", "4611686018427387904"));
  CHECK_THROWS(give("warmup", "1e300"));
  CHECK_NOTHROW(give("epochs", "1000000000"));
}

TEST_CASE("the step schedule drops where it says, with warm-up or without") {
  const optim::Schedule plain = flags_of("step", 0).make_schedule(10), warm = flags_of("step", 1.5).make_schedule(10);
  CHECK(plain(0) == 1);
  CHECK(plain(9) == 1);
  CHECK(plain(10) == doctest::Approx(0.1));
  CHECK(plain(30) == doctest::Approx(0.01));
  // 15 steps of warm-up: sixteenths.
  CHECK(warm(0) == doctest::Approx(1.0 / 16));
  CHECK(warm(9) == doctest::Approx(10.0 / 16));
  CHECK(warm(10) == doctest::Approx(0.1 * 11 / 16));
  CHECK(warm(15) == doctest::Approx(0.1));
  CHECK(warm(30) == doctest::Approx(0.01));
}

TEST_CASE("cosine and linear schedules fall from the end of the warm-up to 0 at the end of the training") {
  const optim::Schedule cosine = flags_of("cosine", 0).make_schedule(10),
                        linear = flags_of("linear", 2).make_schedule(10);
  CHECK(cosine(0) == 1);
  CHECK(cosine(10) == doctest::Approx((1 + std::numbers::sqrt2 / 2) / 2));
  CHECK(cosine(20) == doctest::Approx(0.5));
  CHECK(cosine(40) == doctest::Approx(0));
  CHECK(linear(0) == doctest::Approx(1.0 / 21));
  CHECK(linear(19) == doctest::Approx(20.0 / 21));
  CHECK(linear(20) == 1);
  CHECK(linear(30) == doctest::Approx(0.5));
  CHECK(linear(40) == 0);
}

TEST_CASE("every rule that --rule takes trains a layer with a bias") {
  for (const std::string& rule : optim::rule_names()) {
    CAPTURE(rule);
    TrainingFlags flags;
    flags.rule = rule;
    flags.resolve();
    const LayerKind dense = LayerKind::linear;
    const Parameter w(random_normal({3, 4}, 0, 1, {.seed = 2}), {"w", dense, ParamRole::weight, 3, 4}),
        b(Tensor::zeros({3}), {"b", dense, ParamRole::bias, 3, 4});
    optim::Optimizer optimizer = flags.make_optimizer({w, b}, 1);
    const Tensor x = random_normal({5, 4}, 0, 1, {.seed = 3});
    for (int i = 0; i < 3; ++i) {
      optimizer.zero_grad();
      optimizer.backward(mse_loss(linear(x, w, b), Tensor::ones({5, 3})));
      optimizer.step();
    }
    for (const Parameter& parameter : {w, b}) CHECK(all_finite(parameter.value()));
    CHECK(norm(b.value()) > 0);
  }
}

TEST_CASE("clipping limits the step: by the length of all gradients, or element by element") {
  const auto step = [](double norm, double value) {
    TrainingFlags flags;
    flags.rule = "sgd";
    flags.preconditioner = "none";
    flags.clip_norm = norm;
    flags.clip_value = value;
    flags.lr = 1.0;
    flags.weight_decay = 0.0;
    flags.resolve();
    const Parameter x(Tensor::zeros({2}), {.name = "x"});
    optim::Optimizer optimizer = flags.make_optimizer({x}, 1);
    x.set_grad(Tensor::from({3.0F, 4.0F}, {2}));
    optimizer.step();
    return x.value().to_vector<float>();
  };
  CHECK(step(0, 0) == std::vector<float>{-3, -4});
  CHECK(step(1, 0)[0] == doctest::Approx(-0.6));
  CHECK(step(1, 0)[1] == doctest::Approx(-0.8));
  CHECK(step(0, 3.5) == std::vector<float>{-3, -3.5});
}

TEST_CASE("flags that contradict each other are bad usage") {
  TrainingFlags flags;
  flags.epochs = 4;
  flags.warmup = 4;
  CHECK_THROWS_WITH_AS(flags.resolve(), "--warmup 4 leaves nothing of --epochs 4", UsageError);
  flags.warmup = 0;
  flags.on_nonfinite = "rollback";
  CHECK_THROWS_WITH_AS(flags.resolve(), "--on-nonfinite rollback needs --out: it goes back to a checkpoint",
                       UsageError);
}

TEST_CASE("layers can be left to S-HD and PP-HD, without a matrix of FOP's") {
  const auto parameter = [](const char* name) {
    return Parameter(Tensor::ones({4, 3}),
                     {.name = name, .layer = LayerKind::linear, .role = ParamRole::weight, .out = 4, .in = 3});
  };
  const std::vector<Parameter> parameters{parameter("fc.weight"), parameter("fc2.weight")};
  for (const char* preconditioner : {"fop", "fop-norm", "s-hd", "pp-hd"}) {
    CAPTURE(preconditioner);
    TrainingFlags flags;
    flags.preconditioner = preconditioner;
    flags.without_matrix = {"fc"};
    flags.resolve();
    const optim::Optimizer optimizer = flags.make_optimizer(parameters, 1);
    const bool matrix = std::string(preconditioner).starts_with("fop");
    CHECK(optimizer.diagnostics(optim::Diagnose::without_spectra).size() == (matrix ? 1 : 2));
  }
}

TEST_CASE(
    "a schedule of the rate depends on the number of epochs where another number gives another rate before its end") {
  for (const char* schedule : {"step", "cosine", "linear"}) {
    TrainingFlags longer = flags_of(schedule, 1.5);
    longer.epochs = 5;
    const optim::Schedule four = flags_of(schedule, 1.5).make_schedule(10), five = longer.make_schedule(10);
    bool differs = false;
    for (int64_t t = 0; t < 40; ++t) differs = differs || four(t) != five(t);
    CAPTURE(schedule);
    CHECK(depends_on_epochs(schedule) == differs);
  }
}

TEST_CASE("a P that stretches its gradient far more than at the start is told, with the remedies that are left") {
  const Parameter w(Tensor::zeros({4, 3}),
                    {.name = "fc.weight", .layer = LayerKind::linear, .role = ParamRole::weight, .out = 4, .in = 3});
  w.set_grad(Tensor::ones({4, 3}));
  TrainingFlags flags;
  flags.preconditioner = "s-hd";
  flags.hyper_lr = 0.25;
  const auto told = [&](double scale, bool lost = false) {
    flags.lr.reset();
    flags.resolve();
    const optim::Optimizer optimizer = flags.make_optimizer({w}, 1);
    for (auto& [name, tensor] : optimizer.state())
      if (name == "fc.weight/" + flags.preconditioner + ".scale") {
        Tensor learned = tensor;
        scale_(learned, scale);
      }
    return runaway_note(optimizer, flags, lost);
  };
  CHECK(told(1) == "");
  CHECK(told(5.9) == "");
  CHECK(told(0.01) == "");
  CHECK(told(7.25) ==
        "the preconditioner of fc.weight runs away: it makes the gradient 7.25 times as long as at the start, and such "
        "trainings end worse; try --acts-on direction or a smaller --hyper-lr than 0.25");
  CHECK(told(std::nan("")) == "");  // that is another error's
  CHECK(told(5.9, true) == "");
  CHECK(told(7.25, true) ==
        "the preconditioner of fc.weight makes the gradient 7.25 times as long as at the start; if that came first, "
        "--acts-on direction or a smaller --hyper-lr than 0.25 may help");
  CHECK(told(std::nan(""), true).starts_with("the preconditioner of fc.weight makes the gradient longer than float32"));
  // Captured steps go on for a while with gradients that tell nothing.
  for (const double nothing : {0.0, std::nan("")}) {
    w.set_grad(Tensor::full({4, 3}, nothing));
    CHECK(told(7.25) == "");
    CHECK(told(std::nan("")) == "");
    CHECK(told(5.9, true) == "");
    CHECK(told(7.25, true) ==
          "the preconditioner of fc.weight makes a gradient of ones 7.25 times as long as at the start; if that came "
          "first, --acts-on direction or a smaller --hyper-lr than 0.25 may help");
    CHECK(told(std::nan(""), true) ==
          "the preconditioner of fc.weight is no longer finite, as a cause or as a consequence; if that came first, "
          "--acts-on direction or a smaller --hyper-lr than 0.25 may help");
  }
  const Parameter v(Tensor::zeros({4, 3}),
                    {.name = "fc2.weight", .layer = LayerKind::linear, .role = ParamRole::weight, .out = 4, .in = 3});
  const optim::Optimizer both = flags.make_optimizer({w, v}, 1);
  for (auto& [name, tensor] : both.state())
    if (name.ends_with(".scale")) {
      Tensor learned = tensor;
      fill_(learned, std::nan(""));
    }
  CHECK(
      runaway_note(both, flags, true).starts_with("the preconditioner of fc.weight (and 1 more) is no longer finite"));
  w.set_grad(Tensor::ones({4, 3}));
  flags.acts_on = "direction";
  CHECK(told(12.5).ends_with("; try a smaller --hyper-lr than 0.25"));
  flags.preconditioner = "none";
  CHECK(told(12.5) == "");
}

}  // namespace
}  // namespace gradus::apps
