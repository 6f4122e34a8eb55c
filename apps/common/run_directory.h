// The folder that a training run leaves behind. Nothing in it but timing.jsonl depends on the clock: equal runs leave
// equal bytes, also where one of them was stopped and resumed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "apps/common/lock_file.h"
#include "apps/common/record.h"
#include "core/error.h"
#include "core/tensor.h"

namespace gradus::apps {

/// Saves one thing of several, each also where another does not fit on the disk: what goes wrong is added to `lost`.
void try_to_save(const auto& save, std::string& lost) {
  try {
    save();
  } catch (const Error& error) {
    lost += (lost.empty() ? "" : "; ") + std::string(error.what());
  }
}

/// The content of metrics.jsonl and metrics.csv: one record per epoch, all of the same names.
struct Metrics {
  std::string jsonl, csv;

  void add(const Record& record);
};

///   config.json                     what was asked for, written before the first step
///   metrics.jsonl, .csv             one record per epoch
///   timing.jsonl                    one record per epoch: rates and times
///   weights.safetensors             parameters and buffers
///   weights.ema.safetensors         their moving averages, where they were asked for
///   checkpoint-STEP.safetensors     what it takes to go on: see checkpoint.h
///   classes.json                    the classes' names, of image_classifier
///   events.out.tfevents.*           for TensorBoard, where they were asked for
///   .lock                           while a training is under way
///   replaced/, replaced-2/, ...     the runs that were here before, where this one does not go on with them
///
/// Every file is replaced as a whole, so a reader never sees half a record. Errors are ErrorKind::io and name the file.
class RunDirectory {
 public:
  /// Creates the folder where it is missing; throws where nothing can be written into it. Files of an earlier run stay
  /// until start().
  explicit RunDirectory(std::string path);

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  /// A file that may be there.
  void remove(const std::string& name) const;
  /// Whether a run has been here before, and has left metrics, weights or a checkpoint.
  bool used() const;
  /// Keeps other trainings out as long as this lives. Throws where one is under way here.
  void lock();

  /// The folder to which start() moves what an earlier run left.
  std::string next_replaced() const;
  /// Moves what an earlier run left to that folder and writes config.json.
  void start(const Record& config);
  /// Goes on with the run that is here, as it was after so many epochs.
  void resume(const Metrics& metrics, int64_t epochs);
  void save_config(const Record& config) const;
  void save_metrics(const Metrics& metrics) const;
  /// The record is remembered where it cannot be written: the next one, or save_timing(), writes both.
  void add_timing(const Record& timing);
  void save_timing() const;
  /// weights.safetensors, or another name.
  void save_weights(const std::map<std::string, Tensor>& state, const std::map<std::string, std::string>& metadata,
                    const std::string& name = "weights.safetensors") const;

 private:
  void keep_as_replaced(const std::vector<std::string>& files) const;

  std::string path_;
  std::optional<LockFile> lock_;
  std::string timing_;  // the file's content
};

}  // namespace gradus::apps
