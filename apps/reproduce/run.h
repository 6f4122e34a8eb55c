// The description of one training: all that decides its result, and nothing else.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/common/record.h"
#include "apps/common/training_flags.h"
#include "layers/activation.h"

namespace gradus::reproduce {

enum class Images { none, mnist, cifar10, imagenet };

struct Outcome;
struct Supervision;

struct Run {
  std::string name;  ///< for people: "fop, seed 2"
  Images images = Images::none;
  apps::TrainingFlags flags = {};            ///< rule, preconditioner, batch, seed; epochs count for nothing, steps do
  std::vector<int64_t> hidden = {};          ///< of a perceptron; empty for All-CNN-C, and for ImageNet's ResNet-18
  int64_t image_size = 0;                    ///< side that photographs are resized to
  Activation activation = Activation::relu;  ///< of a perceptron
  double init_std = 0;  ///< of a perceptron: weights from a truncated normal distribution, biases 0; 0: the model's own
  bool dropout = true;  ///< All-CNN-C
  bool augment = false;  ///< CIFAR-10: random crops and flips
  bool whiten = false;   ///< GCN and ZCA instead of each channel's mean and deviation
  int64_t train_samples = 0, test_samples = 0;
  /// The test samples are training images that are not trained on, to choose by. Not of photographs.
  bool held_out = false;
  int64_t steps = 0;
  int64_t evaluate_every = 0;  ///< steps between two looks at the test images; the last step is always followed by one
  int64_t angles_every = 0;    ///< steps between two measurements of the angle and the gain of P g; 0: none
  int64_t matrices_every = 0;  ///< steps between two copies of every P; 0: none
  int64_t curvature_samples = 0;  ///< test images of measure_curvature(), before the first step and after the last
  /// M of P = I + M M^T starts with standard deviation dense_gain / sqrt(inputs), whatever its rank; 0 leaves FOP's
  /// own.
  double dense_gain = 0;
  std::vector<std::pair<std::string, double>> lr_factors =
      {};  ///< layers with a learning rate of their own: "fc1", 2.5

  /// Where there is one, the training is of another kind than a classifier's: this is its routine, as train() is for
  /// those, and `other` says all that decides its result beside the images. Of the fields above only name, images,
  /// flags.seed and steps count.
  std::function<std::optional<Outcome>(const Supervision&)> routine = {};
  apps::Record other = {};

  /// Equal settings mean equal results. The number of threads, which decides the last digits, is not among them: it
  /// would keep machines from sharing results.
  /// `data` says which images: their name and checksums.
  apps::Record settings(const apps::Record& data) const;
};

/// The name of a training's file in the ledger.
std::string key_of(const apps::Record& settings);

}  // namespace gradus::reproduce
