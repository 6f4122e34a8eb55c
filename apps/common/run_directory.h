// The folder that a training run leaves behind. Nothing in it but timing.jsonl depends on the clock: equal runs leave
// equal bytes, also where one of them was stopped and resumed.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "apps/common/record.h"
#include "core/tensor.h"

namespace gradus::apps {

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
///   replaced/                       the run that was here before, where this one does not go on with it
///
/// Every file is replaced as a whole, so a reader never sees half a record. Errors are ErrorKind::io and name the file.
class RunDirectory {
 public:
  /// Creates the folder where it is missing; throws where nothing can be written into it. Files of an earlier run stay
  /// until start().
  explicit RunDirectory(std::string path);

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  /// Whether a run has been here before.
  bool used() const;

  /// Moves what an earlier run left to the folder "replaced" and writes config.json.
  void start(const Record& config);
  /// Goes on with the run that is here, as it was after so many epochs.
  void resume(const Metrics& metrics, int64_t epochs);
  void save_config(const Record& config) const;
  void save_metrics(const Metrics& metrics) const;
  void add_timing(const Record& timing);
  /// weights.safetensors, or another name.
  void save_weights(const std::map<std::string, Tensor>& state, const std::map<std::string, std::string>& metadata,
                    const std::string& name = "weights.safetensors") const;

 private:
  /// Moves these files to the folder "replaced", in place of what was there.
  void keep_as_replaced(const std::vector<std::string>& files) const;

  std::string path_;
  std::string timing_;  // the file's content
};

}  // namespace gradus::apps
