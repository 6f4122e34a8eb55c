// Schedules as functions of time, and what an optimizer makes of them.
#include "optim/schedule.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "optim/optimizer.h"

using namespace gradus;
using namespace gradus::optim;

TEST_CASE("a warm-up rises to one and hands over at time zero of what follows") {
  const Schedule schedule = warm_up(4, 0, optim::step(2, 0.5));
  const double expected[] = {0, 0.25, 0.5, 0.75, 1, 1, 0.5, 0.5, 0.25};
  for (int64_t t = 0; t < 9; ++t) CHECK(schedule(t) == expected[t]);
}

TEST_CASE("a warm-up of no length is what follows it") {
  const Schedule schedule = warm_up(0, 0.5, exponential(0.25));
  CHECK(schedule(0) == 1);
  CHECK(schedule(1) == 0.25);
}

TEST_CASE("chained phases start their own time and the last goes on") {
  const Schedule schedule = chain({{3, constant(2)}, {2, optim::linear(2, 1, 0)}, {1, exponential(0.5)}});
  const double expected[] = {2, 2, 2, 1, 0.5, 1, 0.5, 0.25};
  for (int64_t t = 0; t < 8; ++t) CHECK(schedule(t) == expected[t]);
}

TEST_CASE("per_epoch counts whole epochs") {
  const Schedule schedule = per_epoch(multi_step({2}, 0.1), 391);
  CHECK(schedule(0) == 1);
  CHECK(schedule(2 * 391 - 1) == 1);
  CHECK(schedule(2 * 391) == 0.1);
}

TEST_CASE("a cosine and a line keep their last value") {
  CHECK(cosine(10, 0.25)(10) == doctest::Approx(0.25));
  CHECK(cosine(10, 0.25)(1000) == doctest::Approx(0.25));
  CHECK(optim::linear(4, 1, 0.5)(9) == 0.5);
}

TEST_CASE("what rises and falls over and over does so far on, and what ends stays at its end") {
  CHECK(cosine_restarts(10, 1, 0.5)(10'000'000'007) == cosine_restarts(10, 1, 0.5)(7));
  CHECK(cosine_restarts(1, 2)((int64_t{1} << 40) - 1) == 1);
  CHECK(triangle(3, 5)(8'000'000'003) == 1);
  CHECK(polynomial(4, 2)(9) == 0);
  CHECK(one_cycle(10, 0.3, 0.1, 0.01)(1000) == doctest::Approx(0.01));
}

TEST_CASE("a lambda is a schedule") {
  const Schedule schedule = [](int64_t t) { return 1.0 / static_cast<double>(1 + t); };
  CHECK(schedule(3) == 0.25);
}

TEST_CASE("a schedule without length is refused") {
  CHECK_THROWS_WITH_AS(optim::step(0), "[step] expects a length of at least 1, got 0", Error);
  CHECK_THROWS_AS(cosine(0), Error);
  CHECK_THROWS_WITH_AS(exponential(-1), "[exponential] expects a factor above 0, got -1", Error);
  CHECK_THROWS_AS(exponential(0), Error);
  CHECK_THROWS_AS(polynomial(0), Error);
  CHECK_THROWS_AS(cosine_restarts(3, 0), Error);
  CHECK_THROWS_AS(triangle(1, 0), Error);
  CHECK_THROWS_AS(triangle(0, 1), Error);
  CHECK_THROWS_AS(one_cycle(0), Error);
  CHECK_THROWS_WITH_AS(one_cycle(10, 1), "[one_cycle] expects a rise between 0 and 1, got 1", Error);
  CHECK_THROWS_AS(one_cycle(10, 0), Error);
  CHECK_THROWS_AS(optim::linear(0, 1, 0), Error);
  CHECK_THROWS_AS(chain({}), Error);
  CHECK_THROWS_WITH_AS(chain({{-5, constant()}, {1, constant()}}), "[chain] expects lengths of at least 0, got -5",
                       Error);
  CHECK_THROWS_AS(per_epoch(constant(), 0), Error);
  CHECK_THROWS_WITH_AS(warm_up(4, -0.5), "[warm_up] expects a length and a first factor of at least 0, got 4 and -0.5",
                       Error);
  CHECK_THROWS_AS(warm_up(-1, 0), Error);
}

TEST_CASE("schedules multiply any hyperparameter and the step sees them") {
  Parameter w(Tensor::from<double>({1}, {1}), {.name = "w"});
  Optimizer optimizer = over({w})
                            .rule(Sgd{.lr = 0.5, .momentum = 0.8})
                            .schedule(multi_step({1}, 0.1))
                            .schedule("momentum", multi_step({2}, 0.5))
                            .build();
  CHECK(optimizer.lr() == 0.5);
  w.set_grad(Tensor::from<double>({1}, {1}));
  optimizer.step();  // v = 1, w = 1 - 0.5
  CHECK(w.value().item() == 0.5);
  CHECK(optimizer.lr() == doctest::Approx(0.05));
  optimizer.step();  // v = 1.8
  CHECK(w.value().item() == doctest::Approx(0.5 - 0.05 * 1.8));
  CHECK(optimizer.settings().at("momentum") == doctest::Approx(0.4));
  optimizer.step();  // v = 0.4 * 1.8 + 1
  CHECK(w.value().item() == doctest::Approx(0.41 - 0.05 * 1.72));
}

TEST_CASE("a schedule of the inner rule's learning rate reaches hypergradients") {
  // With gradients of 1, s learns 1 * hyper.lr from the second step on.
  Parameter w(Tensor::from<double>({0}, {1, 1}), {"w", LayerKind::linear, ParamRole::weight, 1, 1});
  Optimizer optimizer = over({w})
                            .rule(Sgd{.lr = 0})
                            .precondition(SHd{.hyper = Sgd{.lr = 0.5}, .learning = {.include_lr = false}})
                            .schedule("hyper.lr", multi_step({2}, 0.25))
                            .build();
  for (const double expected : {1.0, 1.5, 1.625}) {
    w.set_grad(Tensor::from<double>({1}, {1, 1}));
    optimizer.step();
    CHECK(optimizer.state().at("w/s-hd.scale").item() == expected);
  }
}
