#include "apps/common/training.h"

#include <doctest/doctest.h>

#include <limits>

#include "core/ops.h"
#include "layers/container.h"
#include "layers/linear.h"
#include "layers/norm.h"
#include "tests/apps/tiny_training.h"
#include "tests/data/temporary_folder.h"

namespace gradus::apps {
namespace {

using Training = TinyTraining;

std::vector<float> weights(const Training& training) { return training.weights(); }

bool go_on(const Score&) { return true; }

TEST_CASE("an epoch counts every image once and every step") {
  Training training;
  const auto score = train_epoch(training.model, training.optimizer, training.loader, training.state, go_on);
  REQUIRE(score.has_value());
  CHECK(score->images == 20);
  CHECK(training.state.epoch == 1);
  CHECK(training.state.batch == 0);
  CHECK(training.state.step == 4);
  CHECK(training.state.score.images == 0);
}

TEST_CASE("a training that stops after any step and goes on gives the weights and scores of one that does not") {
  Training whole;
  std::vector<Score> expected;
  for (int i = 0; i < 2; ++i)
    expected.push_back(*train_epoch(whole.model, whole.optimizer, whole.loader, whole.state, go_on));

  for (int64_t stop = 1; stop <= 8; ++stop) {
    CAPTURE(stop);
    Training parts;
    std::vector<Score> scores;
    while (parts.state.epoch < 2) {
      const auto score = train_epoch(parts.model, parts.optimizer, parts.loader, parts.state,
                                     [&](const Score&) { return parts.state.step != stop; });
      if (score) scores.push_back(*score);
    }
    REQUIRE(scores.size() == 2);
    for (size_t i = 0; i < 2; ++i) {
      CHECK(scores[i].loss_sum == expected[i].loss_sum);
      CHECK(scores[i].correct == expected[i].correct);
    }
    CHECK(weights(parts) == weights(whole));
  }
}

TEST_CASE("evaluation counts what the model gets right, changes nothing, and leaves dropout out") {
  Training training;
  const std::vector<float> before = weights(training);
  const auto score = evaluate(training.model, training.loader, go_on);
  REQUIRE(score.has_value());
  CHECK(weights(training) == before);
  CHECK(training.model.training());

  // The same by hand: one pass over all images.
  const EvalScope eval(training.model);
  const Loader all(tiny_dataset(), {.batch = 20, .shuffle = false});
  for (const auto& [images, labels] : all.epoch(0)) {
    const Var logits = training.model(images);
    const auto predicted = argmax(logits.value(), 1).to_vector<int64_t>(), truth = labels.to_vector<int64_t>();
    int64_t correct = 0;
    for (size_t i = 0; i < truth.size(); ++i) correct += predicted[i] == truth[i];
    CHECK(score->correct == correct);
    CHECK(score->loss() == doctest::Approx(cross_entropy(logits, labels).item()).epsilon(1e-6));
  }
}

TEST_CASE("an evaluation that is stopped has no score") {
  Training training;
  CHECK(!evaluate(training.model, training.loader, [](const Score&) { return false; }));
}

TEST_CASE("a loss that is not finite is found before the step, with epoch and batch") {
  Training training;
  Tensor weight = training.model.state().at("fc2.weight");
  fill_(weight, std::numeric_limits<double>::quiet_NaN());
  const std::vector<float> bias = training.model.state().at("fc2.bias").to_vector<float>();
  const std::string what =
      error_of([&] { train_epoch(training.model, training.optimizer, training.loader, training.state, go_on); });
  CHECK(contains(what, "the loss is not finite in epoch 1, batch 1: the parameter fc2.weight is not"));
  CHECK(contains(what, "0.1"));
  CHECK(training.model.state().at("fc2.bias").to_vector<float>() == bias);
  CHECK(training.optimizer.steps() == 0);
}

TEST_CASE("a gradient that is not finite is found before the step, with the parameter's name") {
  Training training;
  for (const Parameter& parameter : training.model.parameters()) {
    if (parameter.name() == "fc1.bias")
      parameter.on_grad([](const Var& g) { return g * std::numeric_limits<double>::infinity(); });
  }
  const std::vector<float> before = weights(training);
  const std::string what =
      error_of([&] { train_epoch(training.model, training.optimizer, training.loader, training.state, go_on); });
  CHECK(contains(what, "the gradient of fc1.bias is not finite"));
  CHECK(weights(training) == before);
}

TEST_CASE("a loss that is not finite though every parameter is names the layer where that begins") {
  Training training;
  Tensor weight = training.model.state().at("fc1.weight");
  fill_(weight, 3e38);
  CHECK(contains(error_of([&] { training.epoch(); }), "batch 1: the output of fc1 (Linear(4, 5)) is the first that"));
}

TEST_CASE("batches that are not finite can be left out: nothing changes but their count") {
  Training training, plain;
  // The second batch of the epoch has an infinite gradient; what else is random goes by the step.
  int64_t call = 0;
  for (const Parameter& parameter : training.model.parameters()) {
    if (parameter.name() != "fc1.bias") continue;
    parameter.on_grad([&](const Var& g) { return ++call == 2 ? g * std::numeric_limits<double>::infinity() : g; });
  }
  std::vector<std::string> reasons;
  std::vector<std::vector<float>> after_step;
  EpochOptions options;
  options.skip = [&](const std::string& reason) { reasons.push_back(reason); };
  const auto score = train_epoch(
      training.model, training.optimizer, training.loader, training.state,
      [&](const Score&) { return after_step.push_back(training.weights()), true; }, options);
  REQUIRE(score.has_value());
  CHECK(score->skipped == 1);
  CHECK(score->images == 14);
  CHECK(training.state.step == 4);
  CHECK(training.optimizer.steps() == 3);
  REQUIRE(reasons.size() == 1);
  CHECK(reasons[0] == "the gradient of fc1.bias is not finite in epoch 1, batch 2");
  CHECK(after_step[0] == after_step[1]);
  CHECK(after_step[1] != after_step[2]);
}

TEST_CASE("a batch that is left out leaves no trace in running statistics") {
  manual_seed(1);
  Sequential model(Flatten(), Linear(4, 3), BatchNorm1d(3), Linear(3, 2));
  optim::Optimizer optimizer = optim::over(model.parameters()).rule(optim::Sgd{.lr = 0.1}).build();
  Tensor weight = model.parameters().front().mutable_value();
  fill_(weight, std::numeric_limits<double>::infinity());
  const Loader loader(tiny_dataset(), {.batch = 20});
  const std::vector<float> before = model.state().at("2.running_mean").to_vector<float>();
  TrainingState state;
  std::string reason;
  const auto skip = [&](const std::string& text) { reason = text; };
  const std::string what = error_of([&] { train_epoch(model, optimizer, loader, state, go_on, {.skip = skip}); });
  CHECK(reason == "the loss is not finite in epoch 1, batch 1: the parameter 1.weight is not");
  CHECK(what == "[training] no batch of epoch 1 could be learned from: " + reason);
  CHECK(model.state().at("2.running_mean").to_vector<float>() == before);
}

TEST_CASE("label smoothing mixes the loss with that of the uniform distribution") {
  const auto loss = [](double smoothing) {
    Training still(0);
    return still.epoch({.label_smoothing = smoothing})->loss();
  };
  CHECK(loss(0.1) != loss(0));
  CHECK(loss(0.2) - loss(0) == doctest::Approx(2 * (loss(0.1) - loss(0))).epsilon(1e-4));
}

TEST_CASE("a moving average is updated after every step") {
  Training training;
  optim::Ema ema(training.model.state(), {.decay = 0});
  training.epoch({.ema = &ema});
  CHECK(ema.updates() == 4);
  for (const auto& [name, tensor] : training.model.state())
    CHECK(ema.averages().at(name).to_vector<float>() == tensor.to_vector<float>());
}

}  // namespace
}  // namespace gradus::apps
