// A whole training with all that surrounds it: the run folder, checkpoints, progress, output for people or programs,
// interrupts.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "apps/common/resume.h"
#include "apps/common/training.h"
#include "apps/common/training_flags.h"

namespace gradus::apps {

/// Sees a training's results as they come.
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  /// Before the first step, or once more before the next where the training went back to an earlier one: `step` steps
  /// are complete, and what was seen of later ones is void.
  virtual void begin(int64_t /*step*/) {}
  /// A row of metrics.jsonl.
  virtual void epoch(const Record& metrics) = 0;
};

/// What a program has put together from its flags.
struct TrainingRun {
  Module& model;
  const Loader& train;
  const Loader& test;
  const TrainingFlags& flags;
  Start& start;
  std::function<Record()> config;  ///< all that decides the result; called where it is to be saved
  std::vector<TrainingObserver*> observers = {};
  bool top5 = false;  ///< report test_top5_accuracy too
  /// Called when the run's folder is this run's own, for what else belongs into it.
  std::function<void(const RunDirectory& directory)> started = {};
};

/// Copies in the weights, or a checkpoint's model, that --weights names, if any. With `new_classifier` they may be of a
/// network for other classes: a last layer "fc" of another shape is left as it is, which is said, as is
/// that they are of a training that was interrupted. Throws naming the file and the model.
void load_weights(const TrainingFlags& flags, const std::string& model_name, Module& model,
                  bool new_classifier = false);

/// Prints one line for people, on standard output or, under --json, on standard error.
void announce(const TrainingFlags& flags, const std::string& line);

/// Says what is about to be trained, and on which device; then `notes`, and whether an earlier run makes room.
void introduce(const TrainingFlags& flags, const Start& start, const std::string& data, const std::string& model_name,
               const Module& model, const std::vector<std::string>& notes);

/// What was found on the way to a training, for its config: the images of `data`, which has a train and a test set, and
/// the size of the model.
template <class Splits>
Record found(const Splits& data, const Module& model) {
  return {{"data_name", data.train.name()},   {"train_images", data.train.size()},
          {"test_images", data.test.size()},  {"train_md5", data.train.checksum()},
          {"test_md5", data.test.checksum()}, {"parameters", model.parameter_count()}};
}

/// Trains for flags.epochs, evaluating after each; returns the program's exit code. With --json it prints an object per
/// epoch: epoch, step, lr (of its first step), train_loss and train_accuracy (means over the epoch, each batch before
/// its step, dropout, augmentation and label smoothing included), test_loss, test_accuracy, test_top5_accuracy where it
/// was asked for, loss and accuracy of the moving average with --ema, skipped with --on-nonfinite skip, images_per_s
/// and seconds (of the training part); and a last one with "final": true and peak_rss_mb. On Ctrl-C it finishes the
/// step, saves a checkpoint (in the user's cache where there is no run folder), says how to go on, and returns 130.
int run_training(const TrainingRun& run);

}  // namespace gradus::apps
