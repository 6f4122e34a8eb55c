#include "apps/common/lock_file.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/error.h"
#include "core/file.h"

namespace gradus::apps {
namespace {

/// Where the disk is full nobody is told, but the lock holds.
void tell_process(const std::string& path) {
  const int descriptor = open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
  if (descriptor < 0) return;
  const std::string process = std::to_string(getpid());
  const bool told = write(descriptor, process.data(), process.size()) > 0;
  static_cast<void>(told);
  close(descriptor);
}

}  // namespace

// Held open for reading where that suffices, so that it keeps no disk from being made read-only. The file is removed
// before it is unlocked.
std::optional<LockFile> LockFile::take(const std::string& path) {
  const int descriptor = open_locked(path, O_RDONLY, false);
  if (descriptor < 0) return std::nullopt;
  tell_process(path);
  return LockFile(path, descriptor);
}

std::string LockFile::holder(const std::string& path) {
  try {
    return read_file(path);
  } catch (const Error&) {
    return "";  // it was given back just now
  }
}

LockFile::~LockFile() {
  if (descriptor_ < 0) return;
  unlink(path_.c_str());
  close(descriptor_);
}

}  // namespace gradus::apps
