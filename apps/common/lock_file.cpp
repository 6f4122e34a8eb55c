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

// The file is removed before it is unlocked. Who opened it in between holds a lock on a file without a name, which
// stops nobody: so take() looks whether the name still stands for what it locked.
std::optional<LockFile> LockFile::take(const std::string& path) {
  while (true) {
    const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0) fail(ErrorKind::io, "lock", path, ": ", std::generic_category().message(errno));
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      close(descriptor);
      return std::nullopt;
    }
    struct stat locked = {}, named = {};
    if (fstat(descriptor, &locked) == 0 && stat(path.c_str(), &named) == 0 && locked.st_ino == named.st_ino) {
      const std::string process = std::to_string(getpid());
      const bool told = ftruncate(descriptor, 0) == 0 && pwrite(descriptor, process.data(), process.size(), 0) > 0;
      static_cast<void>(told);  // the lock holds also where the disk is full
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
