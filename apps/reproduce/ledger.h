// The ledger of finished trainings: OUT/ledger/KEY.json, one small file each, named by a digest of the training's
// settings. Folders from different machines merge by copying; a command that was killed finds what it had finished.
#pragma once

#include <optional>
#include <string>

#include "apps/common/lock_file.h"
#include "apps/common/record.h"
#include "apps/reproduce/outcome.h"

namespace gradus::reproduce {

class Ledger {
 public:
  /// Creates OUT/ledger. Throws ErrorKind::io where nothing can be written there.
  explicit Ledger(const std::string& out);

  /// Throws ErrorKind::io naming a file that is damaged.
  std::optional<Outcome> find(const std::string& key) const;
  void add(const std::string& key, const apps::Record& settings, const Outcome& outcome) const;

  /// Where a training that is under way keeps its state.
  std::string checkpoint(const std::string& key) const { return file(key, ".safetensors"); }
  void remove_checkpoint(const std::string& key) const;

  /// Holds a training for this process as long as it lives; another that asks for it meanwhile gets nothing.
  std::optional<apps::LockFile> claim(const std::string& key) const { return apps::LockFile::take(file(key, ".lock")); }

 private:
  std::string file(const std::string& key, const char* ending) const { return folder_ + "/" + key + ending; }

  std::string folder_;
};

}  // namespace gradus::reproduce
