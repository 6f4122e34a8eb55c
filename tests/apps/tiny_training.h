// A model, its optimizer and its data, small and always the same.
#pragma once

#include "apps/common/training.h"
#include "core/random.h"
#include "layers/init.h"
#include "models/mlp.h"

namespace gradus::apps {

/// 20 images of 2 x 2 gray pixels in two classes, dark and bright.
inline Dataset tiny_dataset() {
  std::vector<uint8_t> pixels;
  std::vector<int32_t> labels;
  Generator generator(3);
  for (int i = 0; i < 20; ++i) {
    labels.push_back(i % 2);
    for (int j = 0; j < 4; ++j) pixels.push_back(static_cast<uint8_t>(generator.below(150) + (i % 2) * 100));
  }
  return {{.name = "tiny", .channels = 1, .height = 2, .width = 2, .class_names = {"dark", "bright"}}, pixels, labels};
}

struct TinyTraining {
  explicit TinyTraining(double lr = 0.1)
      : model(seeded_model()),
        optimizer(optim::over(model.parameters())
                      .precondition(optim::Fop{.hyper = optim::Adam{.lr = 1e-2}})
                      .rule(optim::Sgd{.lr = lr, .momentum = 0.9})
                      .build()),
        loader(tiny_dataset(), {.batch = 6, .seed = 4}) {
    model.seed(1);
  }
  static Mlp seeded_model() {
    manual_seed(7);
    return Mlp(4, 2, {.hidden = {5}, .dropout = 0.5});
  }
  std::optional<Score> epoch(const EpochOptions& options = {}) {
    return train_epoch(
        model, optimizer, loader, state, [](const Score&) { return true; }, options);
  }
  /// All parameters and buffers.
  std::vector<float> weights() const {
    std::vector<float> all;
    for (const auto& [name, tensor] : model.state()) {
      const auto values = tensor.to_vector<float>();
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }

  Mlp model;
  optim::Optimizer optimizer;
  Loader loader;
  TrainingState state;
};

}  // namespace gradus::apps
