// The forward and backward pass of a training step as captured work (core/step_graph.h), for GPUs: the host then starts
// a step by one call and waits for none, where it would otherwise start a hundred kernels and read the loss.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apps/common/training.h"
#include "core/step_graph.h"

namespace gradus::apps {

struct CapturedStepOptions {
  double label_smoothing = 0;  ///< of the loss that is trained
  /// Whether the score is wanted after so many steps of the training: reading it waits for the device.
  std::function<bool(int64_t step)> due = [](int64_t step) { return step % 50 == 0; };
};

/// The optimizer's step is no part of it, and neither are learning rate, schedules and clipping: they follow as always,
/// in a few kernels. Every step leaves its gradients in the same memory.
class CapturedStep {
 public:
  CapturedStep(Module& model, optim::Optimizer& optimizer, CapturedStepOptions options);

  /// Why this model and optimizer take plain steps, in words that follow "steps are not captured: "; "" where they are.
  const std::string& obstacle() const { return obstacle_; }

  /// The gradients of the batch's mean loss are in the parameters then, as a plain step's would be, to the bit, and
  /// score.images counts the batch, but loss and hits are added on the device. False, and nothing has happened, where a
  /// plain step must do it: the first two batches of a size, batches of another size than was captured, and always
  /// where there is an obstacle, such as a model that reads a value in its forward pass, which is found by trying.
  bool take(const Batch& batch, int64_t step, Score& score);
  /// Completes the score, and waits for the device; false where it was complete.
  bool collect(Score& score);

  bool due(int64_t step) const { return options_.due(step); }
  /// How many were taken.
  int64_t taken() const { return taken_; }

 private:
  bool capture(int64_t step);
  void forward_and_backward();

  Module& model_;
  optim::Optimizer& optimizer_;
  CapturedStepOptions options_;
  std::vector<Parameter> parameters_;
  std::string obstacle_;
  StepGraph graph_;
  std::optional<int64_t> captured_in_;  ///< a step
  std::vector<Tensor> gradients_;       ///< one per parameter, where the capture leaves them
  Batch batch_;                         ///< where the captures read it
  int64_t seen_ = 0, taken_ = 0;
  Tensor sums_;            ///< float64 [2] on the device: loss times images, hits
  bool collected_ = true;  ///< sums_ holds nothing that the score lacks
};

}  // namespace gradus::apps
