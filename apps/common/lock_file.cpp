#include "apps/common/lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <system_error>

#include "core/error.h"
#include "core/file.h"

namespace gradus::apps {
namespace {

int open_at(const std::string& path, int access) {
  const int descriptor = open(path.c_str(), access | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) fail(ErrorKind::io, "lock", path, ": ", std::generic_category().message(errno));
  return descriptor;
}

bool lock(int descriptor) { return flock(descriptor, LOCK_EX | LOCK_NB) == 0; }

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

// Held open for reading, so that it keeps no disk from being made read-only; network file systems lock only what is
// open for writing.
//
// The file is removed before it is unlocked. Who opened it in between holds a lock on a file without a name, which
// stops nobody: so take() looks whether the name still stands for what it locked.
std::optional<LockFile> LockFile::take(const std::string& path) {
  while (true) {
    int descriptor = open_at(path, O_RDONLY);
    bool taken = lock(descriptor);
    if (!taken && errno == EBADF) {
      close(descriptor);
      descriptor = open_at(path, O_RDWR);
      taken = lock(descriptor);
    }
    if (!taken && errno == EWOULDBLOCK) {
      close(descriptor);
      return std::nullopt;
    }
    struct stat locked = {}, named = {};
    if (fstat(descriptor, &locked) == 0 && stat(path.c_str(), &named) == 0 && locked.st_ino == named.st_ino) {
      tell_process(path);
      return LockFile(path, descriptor);
    }
    close(descriptor);
  }
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
