// Trainings of a second or two: a classifier on a subset of the images, with any optimizer.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "apps/reproduce/outcome.h"
#include "apps/reproduce/run.h"
#include "data/dataset.h"
#include "layers/module.h"
#include "optim/optimizer.h"

namespace gradus::reproduce {

struct SmallTraining {
  int64_t train = 0, test = 0;  ///< images, a class-balanced subset of each
  int64_t batch = 64, steps = 0;
  int64_t evaluate_every = 0;  ///< steps; 0: at the end only
  uint64_t seed = 0;
};

/// One look at all images, in evaluation mode.
struct Look {
  int64_t step = 0;
  double train_loss = 0, test_loss = 0, test_accuracy = 0;
};

struct SmallResult {
  std::vector<Look> looks;  ///< the last one after the last step
  bool diverged = false;    ///< a loss was not finite; the last look is the one before, if there is one
  const Look& last() const { return looks.back(); }
};

/// For the note of a table in which such a result counts.
inline constexpr const char* last_finite_look =
    " A training that diverged counts with the loss and accuracy of its last finite look.";

/// Steps are Optimizer::step(backward), so every stage may be among them. Nothing where it was interrupted.
std::optional<SmallResult> train_small(const SmallTraining& training, const DataSplits& data, Module& model,
                                       optim::Optimizer& optimizer);

/// Such a training for the ledger. `other` says what decides its result beside `training` and the images. It has no
/// checkpoint: `work` leaves nothing where it was interrupted, and begins anew.
Run small_run(const std::string& name, Images images, const SmallTraining& training, const apps::Record& other,
              std::function<std::optional<Outcome>()> work);

}  // namespace gradus::reproduce
