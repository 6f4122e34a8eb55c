#include "optim/ema.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/ops.h"

using namespace gradus;
using namespace gradus::optim;

namespace {

StateDict model() { return {{"weight", Tensor::from({1.0, 2.0}, {2})}, {"batches", Tensor::from<int64_t>({0}, {})}}; }

std::vector<double> weight_of(const StateDict& state) { return state.at("weight").to_vector<double>(); }

}  // namespace

TEST_CASE("averages follow d a + (1 - d) x, with (1 + n) / (10 + n) where that is less than the decay") {
  StateDict live = model();
  Ema ema(live, {.decay = 0.15});
  CHECK(weight_of(ema.averages()) == std::vector<double>{1, 2});
  fill_(live.at("weight"), 3);
  fill_(live.at("batches"), 7);
  ema.update();  // d = 1/10
  CHECK(weight_of(ema.averages())[0] == doctest::Approx(0.1 * 1 + 0.9 * 3));
  CHECK(ema.averages().at("batches").item() == 7);
  ema.update();  // 2/11 is more than 0.15
  CHECK(weight_of(ema.averages())[0] == doctest::Approx(0.15 * 2.8 + 0.85 * 3));
  CHECK(weight_of(ema.averages())[1] == doctest::Approx(0.15 * 2.9 + 0.85 * 3));
  CHECK(ema.updates() == 2);
}

TEST_CASE("without warm-up averages have one decay from the first update on") {
  StateDict live = model();
  Ema ema(live, {.decay = 0.75, .warm_up = false});
  fill_(live.at("weight"), 3);
  ema.update();
  CHECK(weight_of(ema.averages()) == std::vector<double>{1.5, 2.25});
}

TEST_CASE("with equal weights the average is the mean of what updates saw, not of where it began") {
  StateDict live = model();
  Ema ema(live, {.equal = true});
  for (const double value : {3.0, 5.0, 13.0}) {
    fill_(live.at("weight"), value);
    ema.update();
  }
  CHECK(weight_of(ema.averages())[0] == doctest::Approx(7).epsilon(1e-14));
}

TEST_CASE("a scope lends the averages to the model and gives its values back") {
  StateDict live = model();
  Ema ema(live, {.decay = 0.5});
  fill_(live.at("weight"), 3);
  ema.update();
  const std::vector<double> averages = weight_of(ema.averages());
  {
    const EmaScope averaged(ema);
    CHECK(weight_of(live) == averages);
  }
  CHECK(weight_of(live) == std::vector<double>{3, 3});
  CHECK(weight_of(ema.averages()) == averages);
}

TEST_CASE("a scope gives back the values of tensors that share memory") {
  const Tensor shared = Tensor::full({2}, 1);
  Ema ema({{"a", shared}, {"b", shared}}, {.decay = 0.5, .warm_up = false});
  Tensor value = shared;
  fill_(value, 3);
  ema.update();
  { const EmaScope averaged(ema); }
  CHECK(value.to_vector<float>() == std::vector<float>{3, 3});
  for (const auto& [name, average] : ema.averages()) CHECK(average.to_vector<float>() == std::vector<float>{2, 2});
}

TEST_CASE("a loaded average goes on as the saved one would have") {
  StateDict live = model(), other_live = model();
  Ema ema(live, {.decay = 0.9}), other(other_live, {.decay = 0.9});
  fill_(live.at("weight"), 3);
  ema.update();
  other.load(ema.state());
  fill_(other_live.at("weight"), 5);
  fill_(live.at("weight"), 5);
  ema.update();
  other.update();
  CHECK(weight_of(other.averages()) == weight_of(ema.averages()));
  CHECK(other.updates() == 2);
}

TEST_CASE("a decay out of range and a state that does not fit are refused") {
  CHECK_THROWS_WITH(Ema(model(), {.decay = 1}), "[ema] expects a decay in [0, 1), got 1");
  Ema ema(model());
  StateDict wrong = ema.state();
  wrong.erase("ema/updates");
  wrong.at("weight") = Tensor::zeros({3}, DType::float64);
  wrong.at("batches") = Tensor::from<int64_t>({9}, {});
  CHECK_THROWS_WITH_AS(ema.load(wrong), doctest::Contains("missing: ema/updates"), Error);
  CHECK(ema.averages().at("batches").item() == 0);
  wrong = ema.state();
  wrong.at("ema/updates") = Tensor::from<int64_t>({-10}, {});
  CHECK_THROWS_WITH_AS(ema.load(wrong), "[ema] expects 'ema/updates' of at least 0, got -10", Error);
}

TEST_CASE("while a scope lives there is no loading, which would lose the model's own values") {
  StateDict live = model();
  Ema ema(live);
  const StateDict kept = clone(ema.state());
  const EmaScope averaged(ema);
  CHECK_THROWS_WITH_AS(ema.load(kept), "[ema] the model holds the averages while an EmaScope lives; load before it",
                       Error);
}

TEST_CASE("while a scope lives there is no second one, and no update") {
  Ema ema(model());
  {
    const EmaScope averaged(ema);
    CHECK_THROWS_WITH_AS(EmaScope{ema}, "[ema] the model holds the averages already: another EmaScope lives", Error);
    CHECK_THROWS_WITH_AS(ema.update(), "[ema] the model holds the averages while an EmaScope lives; update before it",
                         Error);
  }
  ema.update();
  const EmaScope again(ema);
}
