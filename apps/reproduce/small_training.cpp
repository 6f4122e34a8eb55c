#include "apps/reproduce/small_training.h"

#include <cmath>

#include "apps/common/interrupt.h"
#include "apps/common/training.h"
#include "core/error.h"
#include "data/loader.h"

namespace gradus::reproduce {

SmallResult train_small(const SmallTraining& training, const DataSplits& data, Module& model,
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
    result.looks.push_back({step, on_train->loss(), on_test->loss(), on_test->accuracy()});
    result.diverged = result.diverged || !std::isfinite(on_train->loss());
  };
  look(0);
  model.train();
  int64_t step = 0;
  for (int64_t epoch = 0; step < training.steps && !result.diverged; ++epoch)
    for (const auto& [images, labels] : train.epoch(epoch)) {
      if (apps::interrupted()) fail(ErrorKind::value, "reproduce", "interrupted; this experiment begins anew");
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
        model.train();
      }
    }
  if (!result.diverged) look(step);
  return result;
}

}  // namespace gradus::reproduce
