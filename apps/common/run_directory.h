// The folder that a training run leaves behind. Nothing in it but timing.jsonl depends on the clock: equal runs leave
// equal bytes.
#pragma once

#include <map>
#include <string>

#include "apps/common/record.h"
#include "core/tensor.h"

namespace gradus::apps {

///   config.json           what was asked for, written before the first step
///   metrics.jsonl, .csv   one record per epoch
///   timing.jsonl          one record per epoch: rates and times
///   weights.safetensors   parameters and buffers
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

  /// Removes what an earlier run left and writes config.json.
  void start(const Record& config);
  /// Records of one run have the same names.
  void add_metrics(const Record& metrics);
  void add_timing(const Record& timing);
  void save_weights(const std::map<std::string, Tensor>& state,
                    const std::map<std::string, std::string>& metadata) const;

 private:
  std::string path_;
  std::string metrics_, metrics_csv_, timing_;  // the files' content
};

}  // namespace gradus::apps
