// The loss of a training, step by step, in float32 and in mixed precision.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <vector>

#include "autograd/autocast.h"
#include "core/accelerator.h"
#include "data/loader.h"
#include "data/synthetic.h"
#include "layers/init.h"
#include "layers/module.h"
#include "optim/optimizer.h"

namespace gradus::testing {

struct CurveOptions {
  std::function<std::unique_ptr<Module>()> model;  ///< equally initialized at each call
  int64_t steps = 200, batch = 32;
  double lr = 0.01;
  double learned = 0.8;  ///< by what the last quarter's mean loss must be below the first one's
};

/// Trains with momentum on synthetic images under Autocast(dtype).
inline std::vector<double> loss_curve(const CurveOptions& options, DType dtype) {
  const Loader batches(make_synthetic({.train = 2000, .test = 10}).train, {.batch = options.batch, .seed = 1});
  const auto model = options.model();
  auto optimizer = optim::over(model->parameters()).rule(optim::Sgd{.lr = options.lr, .momentum = 0.9}).build();
  std::vector<double> losses;
  const Autocast scope(dtype);
  for (int64_t epoch = 0; static_cast<int64_t>(losses.size()) < options.steps; ++epoch)
    for (const auto& [images, labels] : batches.epoch(epoch)) {
      optimizer.zero_grad();
      const Var loss = cross_entropy((*model)(images), labels);
      losses.push_back(loss.item());
      loss.backward();
      optimizer.step();
      if (static_cast<int64_t>(losses.size()) == options.steps) break;
    }
  for (const auto& entry : model->state())  // master weights and running statistics
    CHECK_MESSAGE(entry.second.dtype() != DType::bfloat16, entry.first);
  return losses;
}

/// That the mean loss in mixed precision is within 1 % of float32's: of all steps, and of each quarter of them.
inline void check_same_curve(const CurveOptions& options) {
  const std::vector<double> full = loss_curve(options, DType::float32), mixed = loss_curve(options, DType::bfloat16);
  const auto mean = [](const std::vector<double>& losses, size_t begin, size_t end) {
    double sum = 0;
    for (size_t i = begin; i < end; ++i) sum += losses[i];
    return sum / static_cast<double>(end - begin);
  };
  const size_t steps = full.size(), quarter = steps / 4;
  CHECK(mean(mixed, 0, steps) == doctest::Approx(mean(full, 0, steps)).epsilon(0.01));
  for (size_t begin = 0; begin + quarter <= steps; begin += quarter)
    CHECK(mean(mixed, begin, begin + quarter) == doctest::Approx(mean(full, begin, begin + quarter)).epsilon(0.01));
  CHECK(mean(full, steps - quarter, steps) < options.learned * mean(full, 0, quarter));
  CHECK(mixed != full);
}

}  // namespace gradus::testing
