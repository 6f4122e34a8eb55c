#include "apps/reproduce/small_training.h"

#include <cmath>

#include "apps/common/interrupt.h"
#include "apps/common/progress.h"
#include "apps/common/training.h"
#include "apps/reproduce/train.h"
#include "core/parallel.h"
#include "data/loader.h"

namespace gradus::reproduce {

std::optional<SmallResult> train_small(const SmallTraining& training, const DataSplits& data, Module& model,
                                       optim::Optimizer& optimizer) {
  const Normalization normalization = channel_statistics(data.train);
  const auto loader = [&](const Dataset& images, int64_t count, int64_t batch, bool shuffle) {
    const Dataset part = count < images.size() ? images.class_balanced_subset(count) : images;
    return Loader(part, {.batch = batch, .seed = training.seed, .shuffle = shuffle, .normalization = normalization});
  };
  const Loader train = loader(data.train, training.train, training.batch, true);
  const Loader train_all = loader(data.train, training.train, 500, false);
  const Loader test = loader(data.test, training.test, 500, false);

  SmallResult result;
  const auto look = [&](int64_t step) {
    const auto all = [](const apps::Score&) { return true; };
    const auto on_train = apps::evaluate(model, train_all, all), on_test = apps::evaluate(model, test, all);
    result.diverged = !std::isfinite(on_train->loss());
    if (result.diverged && !result.looks.empty()) return;
    result.looks.push_back({step, on_train->loss(), on_test->loss(), on_test->accuracy()});
  };
  look(0);
  model.train();
  int64_t step = 0;
  for (int64_t epoch = 0; step < training.steps && !result.diverged; ++epoch)
    for (const auto& [images, labels] : train.epoch(epoch)) {
      if (apps::interrupted()) return std::nullopt;
      double value = 0;
      const Tensor &x = images, &y = labels;
      optimizer.step([&] {
        model.set_step(static_cast<uint64_t>(step));
        const Var loss = cross_entropy(model(x), y);
        loss.backward();
        value = loss.item();
      });
      result.diverged = !std::isfinite(value);
      if (result.diverged || ++step == training.steps) break;
      if (training.evaluate_every > 0 && step % training.evaluate_every == 0) {
        look(step);
        if (result.diverged) break;
        model.train();
      }
    }
  if (!result.diverged) look(step);
  return result;
}

Run small_run(const std::string& name, Images images, const SmallTraining& training, const apps::Record& other,
              std::function<std::optional<Outcome>()> work) {
  Run run;
  run.name = name + ", seed " + std::to_string(training.seed);
  run.images = images;
  run.steps = training.steps;
  run.flags.seed = training.seed;
  run.other = other;
  run.other.add({{"train_samples", training.train},
                 {"test_samples", training.test},
                 {"batch", training.batch},
                 {"steps", training.steps},
                 {"evaluate_every", training.evaluate_every},
                 {"seed", training.seed}});
  run.routine = [work = std::move(work)](const Supervision& supervision) {
    supervision.watch(0);
    const apps::Stopwatch watch;
    std::optional<Outcome> outcome = work();
    if (!outcome) return outcome;
    outcome->seconds = watch.seconds();
    outcome->threads = num_threads();
    outcome->machine = this_machine();
    return outcome;
  };
  return run;
}

}  // namespace gradus::reproduce
