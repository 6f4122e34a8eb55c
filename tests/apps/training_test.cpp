#include "apps/common/training.h"

#include <doctest/doctest.h>

#include <limits>

#include "core/ops.h"
#include "layers/container.h"
#include "layers/init.h"
#include "models/mlp.h"
#include "tests/data/temporary_folder.h"

namespace gradus::apps {
namespace {

// 20 images of 2 x 2 grey pixels in two classes, dark and bright.
Dataset tiny_dataset() {
  std::vector<uint8_t> pixels;
  std::vector<int32_t> labels;
  Generator generator(3);
  for (int i = 0; i < 20; ++i) {
    labels.push_back(i % 2);
    for (int j = 0; j < 4; ++j) pixels.push_back(static_cast<uint8_t>(generator.below(150) + (i % 2) * 100));
  }
  return {{.name = "tiny", .channels = 1, .height = 2, .width = 2, .class_names = {"dark", "bright"}}, pixels, labels};
}

// A model, its optimizer and its data, always the same.
struct Training {
  explicit Training(double lr = 0.1)
      : model(seeded_model()),
        optimizer(optim::over(model.parameters()).rule(optim::Sgd{.lr = lr, .momentum = 0.9}).build()),
        loader(tiny_dataset(), {.batch = 6, .seed = 4}) {
    model.seed(1);
  }
  static Mlp seeded_model() {
    manual_seed(7);
    return Mlp(4, 2, {.hidden = {5}, .dropout = 0.5});
  }

  Mlp model;
  optim::Optimizer optimizer;
  Loader loader;
  TrainingState state;
};

std::vector<float> weights(const Training& training) {
  std::vector<float> all;
  for (const auto& [name, tensor] : training.model.state()) {
    const auto values = tensor.to_vector<float>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

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
  CHECK(contains(what, "the loss is not finite in epoch 1, batch 1"));
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

}  // namespace
}  // namespace gradus::apps
