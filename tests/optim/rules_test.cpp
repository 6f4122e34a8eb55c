// Every rule against trajectories that PyTorch stored (tests/golden/make_optim_golden.py), in float64.
#include <doctest/doctest.h>

#include "autograd/ops.h"
#include "core/error.h"
#include "optim/optimizer.h"
#include "tests/optim/trajectory.h"

using namespace gradus;
using namespace gradus::optim;

namespace {

// Twelve steps, each of a few dozen roundings of numbers up to 2, that the objective's curvature may amplify.
constexpr double rule_tolerance = 1e-12;

double distance(const char* name, const std::function<void(Builder&)>& describe) {
  return distance(golden_file("optim.json").at("trajectories").at(name), start(), describe);
}

}  // namespace

TEST_CASE("gradient descent follows PyTorch's") {
  CHECK(distance("sgd", [](Builder& b) { b.rule(Sgd{.lr = 0.05}); }) < rule_tolerance);
}
TEST_CASE("momentum follows PyTorch's") {
  CHECK(distance("momentum", [](Builder& b) { b.rule(Sgd{.lr = 0.02, .momentum = 0.9}); }) < rule_tolerance);
}
TEST_CASE("Nesterov's momentum follows PyTorch's") {
  CHECK(distance("nesterov", [](Builder& b) { b.rule(Sgd{.lr = 0.02, .momentum = 0.8, .nesterov = true}); }) <
        rule_tolerance);
}
TEST_CASE("momentum with coupled decay follows PyTorch's weight_decay") {
  CHECK(distance("momentum_coupled_decay", [](Builder& b) {
          b.rule(Sgd{.lr = 0.02, .momentum = 0.9}).weight_decay({.rate = 0.1});
        }) < rule_tolerance);
}
TEST_CASE("Nesterov's rule without momentum is plain descent, and momentum can be given to it later") {
  Parameter w(Tensor::from<double>({1}, {1}), {.name = "w"});
  Optimizer optimizer = over({w}).rule(Sgd{.lr = 0.5, .nesterov = true}).build();
  w.set_grad(Tensor::from<double>({1}, {1}));
  optimizer.step();
  CHECK(w.value().item() == 0.5);
  optimizer.set("momentum", 0.5);
  optimizer.step();  // v = 0.5 * 1 + 1, and the step is along 1 + 0.5 v
  CHECK(w.value().item() == 0.5 - 0.5 * 1.75);
}
TEST_CASE("RMSProp follows PyTorch's") {
  CHECK(distance("rmsprop", [](Builder& b) { b.rule(RmsProp{.lr = 0.01, .alpha = 0.95, .eps = 1e-6}); }) <
        rule_tolerance);
}
TEST_CASE("centered RMSProp with momentum follows PyTorch's") {
  CHECK(distance("rmsprop_centered_momentum", [](Builder& b) {
          b.rule(RmsProp{.lr = 0.01, .alpha = 0.9, .momentum = 0.7, .centered = true});
        }) < rule_tolerance);
}
TEST_CASE("centered RMSProp stays finite where the variance is rounding alone") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    Parameter w(Tensor::zeros({100}, dtype), {.name = "w"});
    Optimizer optimizer = over({w}).rule(RmsProp{.alpha = 0.9, .centered = true}).build();
    w.set_grad(random_normal({100}, 0, 1, {.seed = 1}, dtype));
    for (int step = 0; step < 500; ++step) optimizer.step();
    CHECK(all_finite(w.value()));
  }
}
TEST_CASE("AdaGrad follows PyTorch's") {
  CHECK(distance("adagrad", [](Builder& b) {
          b.rule(AdaGrad{.lr = 0.1, .lr_decay = 0.05, .eps = 1e-7, .initial_accumulator = 0.1});
        }) < rule_tolerance);
}
TEST_CASE("Adam follows PyTorch's") {
  CHECK(distance("adam", [](Builder& b) { b.rule(Adam{.lr = 0.03, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-4}); }) <
        rule_tolerance);
}
TEST_CASE("Adam with coupled decay follows PyTorch's weight_decay") {
  CHECK(distance("adam_coupled_decay", [](Builder& b) { b.rule(Adam{.lr = 0.03}).weight_decay({.rate = 0.2}); }) <
        rule_tolerance);
}
TEST_CASE("AdamW follows PyTorch's") {
  CHECK(distance("adamw", [](Builder& b) { b.rule(AdamW{.lr = 0.03, .beta2 = 0.99, .weight_decay = 0.3}); }) <
        rule_tolerance);
}
TEST_CASE("AdamW is Adam with decoupled decay") {
  CHECK(distance("adamw", [](Builder& b) {
          b.rule(Adam{.lr = 0.03, .beta2 = 0.99}).weight_decay({.rate = 0.3, .mode = DecayMode::decoupled});
        }) < rule_tolerance);
}
TEST_CASE("the global norm is clipped as PyTorch clips it") {
  CHECK(distance("sgd_clipped_norm", [](Builder& b) { b.rule(Sgd{.lr = 0.05}).clip({.norm = 2}); }) < rule_tolerance);
}

TEST_CASE("schedules give PyTorch's factors") {
  const std::pair<const char*, Schedule> cases[] = {{"step", optim::step(5, 0.3)},
                                                    {"multi_step", multi_step({3, 8}, 0.1)},
                                                    {"exponential", exponential(0.9)},
                                                    {"cosine", cosine(10, 0.1)},
                                                    {"linear", optim::linear(6, 0.25, 0.75)},
                                                    {"polynomial", polynomial(7, 2.5)},
                                                    {"cosine_restarts", cosine_restarts(3, 2, 0.1)},
                                                    {"triangle", triangle(2, 3, 0.2)},
                                                    {"one_cycle", one_cycle(10, 0.3, 0.05, 0.001)}};
  for (const auto& known : cases) {
    CAPTURE(known.first);
    int64_t t = 0;
    for (const auto& factor : golden_file("optim.json").at("schedules").at(known.first))
      CHECK(known.second(t++) == doctest::Approx(factor.get<double>()).epsilon(1e-12));
  }
}

TEST_CASE("a rule refuses a gradient of another shape or dtype, and takes one in another order of memory") {
  const Tensor parameter = Tensor::zeros({2, 3});
  for (const AnyRule& options : {AnyRule(Adam{}), AnyRule(RmsProp{.momentum = 0.5}), AnyRule(AdaGrad{})}) {
    CAPTURE(options.name());
    const auto rule = options.make(parameter), other = options.make(parameter);
    const Settings& settings = options.settings();
    CHECK_THROWS_AS(rule->direction(Tensor::ones({2}), settings), Error);
    CHECK_THROWS_AS(rule->direction(Tensor::ones({2, 3}, DType::float64), settings), Error);
    const auto direction_on = [&](const Tensor& gradient) {
      return options.make(parameter)->direction(gradient, settings).to_vector<float>();
    };
    const Tensor across = random_normal({3, 2}, 0, 1, {.seed = 1});
    CHECK(direction_on(transpose(across, 0, 1)) == direction_on(contiguous(transpose(across, 0, 1))));
  }
}
