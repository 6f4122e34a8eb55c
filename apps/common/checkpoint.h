// Checkpoints: files from which a training goes on as if it had never stopped. Each is written whole or not at all, and
// checked when it is read.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "apps/common/training.h"
#include "core/state_dict.h"

namespace gradus::apps {

/// One safetensors file.
struct Checkpoint {
  StateDict tensors;                            ///< "model/conv1.weight", "optimizer/conv1.weight/sgd.velocity"
  std::map<std::string, std::string> metadata;  ///< everything else, as text
  std::string path = {};                        ///< where it was read

  /// Adds tensors under "prefix/".
  void add(const std::string& prefix, const StateDict& state);
  /// Those under "prefix/", without it.
  StateDict under(const std::string& prefix) const { return gradus::under(tensors, prefix); }
  /// Metadata that must be there; throws ErrorKind::io naming the file where it is not, or is no number. An integer is
  /// a count: 0 to 2^53.
  const std::string& text(const std::string& key) const;
  int64_t integer(const std::string& key) const;
  double number(const std::string& key) const;
};

/// The model, the optimizer and how far they have come; tensors share memory with them.
Checkpoint checkpoint_of(const Module& model, const optim::Optimizer& optimizer, const TrainingState& state);
/// The reverse. Throws an error that names the file where it is of another model or optimizer.
void restore(const Checkpoint& checkpoint, Module& model, optim::Optimizer& optimizer, TrainingState& state);

/// "FOLDER/checkpoint-STEP.safetensors"
std::string checkpoint_path(const std::string& folder, int64_t step);
/// Steps of the checkpoints in a folder, newest first. One that is still being written is not among them.
std::vector<int64_t> checkpoints_in(const std::string& folder);

/// Writes a checkpoint with a digest of all that it holds. Throws ErrorKind::io; what was there stays then.
void write_checkpoint(const std::string& path, const Checkpoint& checkpoint);
/// The same for that of a step, which it names. Then removes those before the last two whose step is a multiple of
/// `every`.
void save_checkpoint(const std::string& folder, int64_t step, const Checkpoint& checkpoint, int64_t every = 1);
/// Throws ErrorKind::io, with one line that names the file, unless it is exactly what was written.
Checkpoint load_checkpoint(const std::string& path);
/// The newest that is intact, of those whose step is a multiple of `every`; `warn` is told of each that is damaged, or
/// that is of another step than its name says.
/// Nothing where there are none. Throws ErrorKind::io where there are but none is intact.
std::optional<Checkpoint> newest_checkpoint(const std::string& folder,
                                            const std::function<void(const std::string&)>& warn, int64_t every = 1);

}  // namespace gradus::apps
