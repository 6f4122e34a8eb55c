// The training routine of every experiment: a network, its optimizer and its images from a description, with
// measurements on the way, and a checkpoint from which a stopped training goes on as if nothing had been.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "apps/common/checkpoint.h"
#include "apps/reproduce/data_sets.h"
#include "apps/reproduce/outcome.h"
#include "apps/reproduce/run.h"

namespace gradus::reproduce {

/// How a training looks from outside while it runs.
struct Supervision {
  std::string checkpoint;      ///< file that the state is kept in
  std::function<bool()> stop;  ///< asked after every step, on a GPU every few; true: save the state and end
  std::function<void(int64_t step)> watch;  ///< called likewise
};

/// Where the training had come to; nothing where that is not known: a checkpoint that is damaged costs this training,
/// not the campaign.
std::optional<apps::Checkpoint> unfinished(const Supervision& supervision);

/// Outcome::machine of a training that began on `first` and goes on on `then`.
std::string both_machines(const std::string& first, const std::string& then);

/// How much work a crash may cost.
inline constexpr double seconds_between_checkpoints = 20;

/// Runs the training, or the rest of it where there is a checkpoint; nothing where it was stopped. A loss or gradient
/// that is not finite is a result too: Outcome::diverged.
///
/// Values: final_accuracy and best_accuracy on the test images, in [0, 1] (the final one of a training that diverged is
/// that of a guess, one in the number of classes); with a preconditioner also paper_parameters, stored_parameters and
/// gain, |P g| / |g| over all preconditioned weights, averaged over the second half of the measurements.
/// Series: "accuracy" (step, train_loss, train_accuracy, test_loss, test_accuracy), "angle" and "gain" (step, one
/// column per preconditioned layer), "P LAYER" (step, the matrix by rows).
std::optional<Outcome> train(const Run& run, const ImageData& data, const Supervision& supervision);

}  // namespace gradus::reproduce
