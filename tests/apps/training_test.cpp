#include "apps/common/training.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "apps/common/captured_step.h"
#include "core/accelerator.h"
#include "core/ops.h"
#include "layers/activation.h"
#include "layers/container.h"
#include "layers/conv.h"
#include "layers/dropout.h"
#include "layers/linear.h"
#include "layers/norm.h"
#include "models/registry.h"
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

TEST_CASE("a single image that batch normalization cannot learn from is left out, in parts of a batch there are two") {
  const auto train = [](int64_t batch, int64_t accumulate, bool norm, std::vector<std::string>& reasons) {
    manual_seed(1);
    Sequential model(Flatten(), Linear(4, 3));
    if (norm) model.add(BatchNorm1d(3));
    model.add(Linear(3, 2));
    auto optimizer = optim::over(model.parameters()).rule(optim::Sgd{.lr = 0.1}).build();
    const Loader loader(tiny_dataset(), {.batch = batch, .seed = 4});
    TrainingState state;
    const auto score =
        train_epoch(model, optimizer, loader, state, go_on,
                    {.accumulate = accumulate, .left_out = [&](const std::string& why) { reasons.push_back(why); }});
    CHECK(state.step == loader.batches());
    return score->images;
  };
  std::vector<std::string> reasons;
  CHECK(train(19, 1, false, reasons) == 20);
  CHECK(train(8, 4, true, reasons) == 20);  // the last four images in two parts
  CHECK(reasons.empty());
  CHECK(train(19, 1, true, reasons) == 19);
  CHECK(train(19, 2, true, reasons) == 19);
  const std::string reason = "batch 2 of epoch 1 is a single image, from which batch normalization cannot learn";
  CHECK(reasons == std::vector<std::string>{reason, reason});
  CHECK(contains(error_of([&] { train(1, 1, true, reasons); }), "training needs more than one value per channel"));
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
  CHECK(training.optimizer.steps() == 4);  // schedules count it
  REQUIRE(reasons.size() == 1);
  CHECK(reasons[0] == "the gradient of fc1.bias is not finite in epoch 1, batch 2");
  CHECK(after_step[0] == after_step[1]);
  CHECK(after_step[1] != after_step[2]);
}

TEST_CASE("a batch whose curvature is not finite is one that can be left out") {
  manual_seed(1);
  Mlp model(4, 2, {.hidden = {5}});
  optim::Optimizer optimizer = optim::over(model.parameters()).rule(optim::AdaHesScale{}).build();
  const Loader loader(tiny_dataset(), {.batch = 20});
  Tensor weight = model.state().at("fc2.weight");
  fill_(weight, 1e12);  // curvatures of fc1 are of its square, and are squared
  std::string reason;
  TrainingState state;
  const auto skip = [&](const std::string& text) { reason = text; };
  const std::string what = error_of([&] { train_epoch(model, optimizer, loader, state, go_on, {.skip = skip}); });
  CHECK(contains(reason, "the curvature of fc1."));
  CHECK(contains(reason, ", or its square, is not finite in epoch 1, batch 1"));
  CHECK(contains(what, reason));
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
  CHECK(what == "[training] no batch of epoch 1 could be learned from: " + reason +
                    "; a smaller learning rate than 0.1 may help");
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

/// A network with everything that a step can meet: batch norm, dropout, and convolutions of one size, whose memory
/// captured work shares.
Sequential small_network() {
  manual_seed(3);
  const auto conv = [](int64_t channels) { return Conv2d(channels, 4, {.kernel = 3, .padding = 1}); };
  Sequential model(conv(1), BatchNorm2d(4), ReLU(), conv(4), ReLU(), conv(4), ReLU(), conv(4), Dropout(0.3), Flatten(),
                   Linear(16, 2));
  model.seed(5);
  return model;
}

struct Course {
  std::vector<float> weights;
  std::vector<Score> scores;
  int64_t captured = 0;
};

/// Five epochs of three batches of 6 images and one of 2. Without `transforms` gradients are taken as they are.
Course trained(bool capture, const optim::AnyPreconditioner& preconditioner, const optim::AnyRule& rule, double ema,
               bool transforms) {
  Sequential model = small_network();
  optim::Builder builder = optim::over(model.parameters());
  builder.precondition(preconditioner).rule(rule).schedule(optim::linear(20, 1, 0.1));
  if (transforms) builder.weight_decay({.rate = 1e-2}).clip({.norm = 2});
  optim::Optimizer optimizer = builder.build();
  optim::Ema average(model.state(), {.decay = ema});
  const Loader loader(tiny_dataset(), {.batch = 6, .seed = 4, .augment = Augment::standard});
  CapturedStep step(model, optimizer, {.label_smoothing = 0.1, .due = [](int64_t step) { return step % 7 == 0; }});
  TrainingState state;
  Course course;
  while (state.epoch < 5)
    course.scores.push_back(
        *train_epoch(model, optimizer, loader, state, go_on,
                     {.label_smoothing = 0.1, .ema = &average, .captured = capture ? &step : nullptr}));
  for (const StateDict& dict : {model.state(), average.averages(), optimizer.state()})
    for (const auto& [name, tensor] : dict)
      for (const double value : cast(tensor, DType::float64).to_vector<double>())
        course.weights.push_back(static_cast<float>(value));
  course.captured = step.taken();
  return course;
}

}  // namespace

TEST_CASE("captured steps leave the bits of plain ones, with last batches that are smaller in between") {
  using optim::Adam, optim::Sgd;
  const optim::AnyRule momentum = Sgd{.lr = 0.05, .momentum = 0.9};
  for (const auto& [preconditioner, rule] : std::vector<std::pair<optim::AnyPreconditioner, optim::AnyRule>>{
           {optim::NoPreconditioner{}, momentum},
           {optim::Fop{.hyper = Adam{.lr = 1e-2}}, momentum},
           {optim::Fop{.hyper = Adam{.lr = 1e-2}, .norm = optim::Fop::Norm::through}, Adam{.lr = 1e-2}},
           {optim::PpHd{.hyper = Adam{.lr = 1e-2}}, momentum},
           {optim::SHd{.hyper = Adam{.lr = 1e-2}}, Adam{.lr = 1e-2}}}) {
    const auto name = preconditioner.name();  // clang 14 captures no structured binding
    CAPTURE(name);
    for (const bool transforms : {true, false}) {
      CAPTURE(transforms);
      const Course plain = trained(false, preconditioner, rule, 0.9, transforms),
                   captured = trained(true, preconditioner, rule, 0.9, transforms);
      CHECK(plain.captured == 0);
      CHECK(captured.captured == (StepGraph::possible() ? 13 : 0));  // of 15 whole batches, the first two are plain
      CHECK(captured.weights == plain.weights);
      REQUIRE(captured.scores.size() == plain.scores.size());
      for (size_t i = 0; i < plain.scores.size(); ++i) {
        CHECK(captured.scores[i].loss_sum == plain.scores[i].loss_sum);
        CHECK(captured.scores[i].correct == plain.scores[i].correct);
        CHECK(captured.scores[i].images == plain.scores[i].images);
      }
    }
  }
}

TEST_CASE("captured steps tell of themselves when they are due, and at the end of an epoch") {
  Training training;
  CapturedStep step(training.model, training.optimizer, {.due = [](int64_t step) { return step % 6 == 0; }});
  std::vector<int64_t> told, seen;
  while (training.state.epoch < 3)
    train_epoch(training.model, training.optimizer, training.loader, training.state,
                [&](const Score& score) {
                  told.push_back(training.state.step);
                  seen.push_back(score.images);
                  return true;
                },
                {.captured = &step});
  // Four batches an epoch; the last, of 2 images, and the first two of 6 are plain steps.
  if (StepGraph::possible()) {
    CHECK(told == std::vector<int64_t>{1, 2, 4, 6, 8, 12});
    CHECK(seen == std::vector<int64_t>{6, 12, 20, 12, 20, 20});
  } else {
    CHECK(told.size() == 12);
  }
}

TEST_CASE("a model that cannot be captured trains by plain steps, and a warning says why") {
  class Reading : public Module {
   public:
    Var forward(const Var& x) override { return x * (1.0 + 0.0 * sum(x.value()).item()); }
  };
  std::vector<std::string> warnings;
  set_warning_handler([&](const std::string& line) { warnings.push_back(line); });
  manual_seed(1);
  Sequential model(Reading(), Flatten(), Linear(4, 2));
  optim::Optimizer optimizer = optim::over(model.parameters()).rule(optim::Sgd{.lr = 0.1}).build();
  CapturedStep step(model, optimizer, {});
  const Loader loader(tiny_dataset(), {.batch = 5});
  TrainingState state;
  const auto score = train_epoch(model, optimizer, loader, state, go_on, {.captured = &step});
  set_warning_handler(nullptr);
  CHECK(score->images == 20);
  CHECK(step.taken() == 0);
  if (StepGraph::possible())
    CHECK(warnings ==
          std::vector<std::string>{"steps are not captured: [item] reads a value from the device or sends it "
                                   "one, which captured work cannot repeat"});
  else
    CHECK(step.obstacle() == "this device captures no work");
}

TEST_CASE("rules that ask for curvature take plain steps") {
  Training training;
  optim::Optimizer optimizer = optim::over(training.model.parameters()).rule(optim::AdaHesScale{}).build();
  const CapturedStep step(training.model, optimizer, {});
  CHECK(contains(step.obstacle(), StepGraph::possible() ? "the optimizer asks for curvature" : "captures no work"));
}

TEST_CASE("captured steps find a loss that is not finite when they are due") {
  Training training(1e20);
  CapturedStep step(training.model, training.optimizer, {});
  const std::string what = error_of([&] {
    while (training.state.epoch < 3)
      train_epoch(training.model, training.optimizer, training.loader, training.state, go_on, {.captured = &step});
  });
  CHECK(contains(what, "is not finite in epoch"));
}

TEST_CASE("a plain step after captured ones is not taken for the one whose loss is not finite") {
  Training training;
  CapturedStep step(training.model, training.optimizer, {.due = [](int64_t) { return false; }});
  const auto spoil = [&](const Score&) {
    Tensor weight = training.model.state().at("fc2.weight");
    if (training.state.step == 2) fill_(weight, std::nan(""));
    return true;
  };
  // Of four batches the third is captured, and the last a smaller one.
  const std::string what = error_of([&] {
    train_epoch(training.model, training.optimizer, training.loader, training.state, spoil, {.captured = &step});
  });
  CHECK(contains(what, StepGraph::possible() ? "[training] the loss or a weight is not finite in epoch 1, batch 3, or "
                                             : "[training] the loss is not finite in epoch 1, batch 3: "));
  CHECK(step.taken() == (StepGraph::possible() ? 1 : 0));
}

TEST_CASE("every model of ours can be captured") {
  if (!StepGraph::possible()) return;
  for (const std::string name : {"all_cnn", "mlp", "resnet18"}) {
    CAPTURE(name);
    manual_seed(1);
    const auto model = make_model(name, {.image = {3, 16, 16}, .classes = 3});
    optim::Optimizer optimizer = optim::over(model->parameters()).rule(optim::Sgd{.lr = 0.01}).build();
    CapturedStep step(*model, optimizer, {});
    const Batch batch{Tensor::full({2, 3, 16, 16}, 0.5), Tensor::from<int64_t>({0, 2}, {2})};
    Score score;
    for (int i = 0; i < 3; ++i) {
      if (step.take(batch, i, score)) continue;
      optimizer.zero_grad();
      cross_entropy((*model)(batch.images), batch.labels).backward();
    }
    CHECK(step.obstacle() == "");
    CHECK(step.taken() == 1);
    step.collect(score);
    CHECK(score.images == 2);
    CHECK(std::isfinite(score.loss()));
  }
}

}  // namespace gradus::apps
