// A whole training with all that surrounds it: the run folder, progress, output for people or programs, interrupts.
#pragma once

#include "apps/common/run_directory.h"
#include "apps/common/training.h"
#include "apps/common/training_flags.h"

namespace gradus::apps {

/// What a program has put together from its flags.
struct TrainingRun {
  Module& model;
  const Loader& train;
  const Loader& test;
  const TrainingFlags& flags;
  RunDirectory* directory;  ///< null where nothing is to be saved
  Record config;            ///< all that decides the result
};

/// Prints one line for people, on standard output or, under --json, on standard error.
void announce(const TrainingFlags& flags, const std::string& line);

/// Trains for flags.epochs, evaluating after each; returns the program's exit code. With --json it prints an object per
/// epoch: epoch, step, lr, train_loss and train_accuracy (means over the epoch, each batch before its step, dropout and
/// augmentation included), test_loss, test_accuracy, images_per_s and seconds (of the training part); and a last one
/// with "final": true. On Ctrl-C it finishes the step, saves, and returns 130.
int run_training(const TrainingRun& run);

}  // namespace gradus::apps
