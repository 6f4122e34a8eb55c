// What a training shows of itself in TensorBoard: its metrics, its weights' distributions and pictures of its first
// batch.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/common/training_run.h"
#include "data/tensorboard.h"

namespace gradus::apps {

/// Those that are in a folder.
std::vector<std::string> event_files_in(const std::string& folder);

/// Writes an event file into `folder`; the time of day is in it and in its name, and nowhere else. A training that goes
/// on opens a new one. One that begins removes those of an earlier run.
class TensorBoard final : public TrainingObserver {
 public:
  TensorBoard(std::string folder, const Module& model, const Loader& train)
      : folder_(std::move(folder)), model_(model), train_(train) {}

  void begin(int64_t step) override;
  /// Scalars by the metrics' names, and a histogram of every parameter, at the metrics' step.
  void epoch(const Record& metrics) override;

 private:
  void show_batch();

  std::string folder_;
  const Module& model_;
  const Loader& train_;
  std::optional<EventWriter> events_;
};

}  // namespace gradus::apps
