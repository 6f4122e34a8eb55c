// A file that says that a process works on something: locked as long as its owner lives, however that ends.
#pragma once

#include <optional>
#include <string>
#include <utility>

namespace gradus::apps {

/// Holds the lock until it goes out of scope, and removes the file then. What a killed process has left stops nobody,
/// and neither does a file system that knows no locks.
class LockFile {
 public:
  /// Nothing where another holds it. Throws ErrorKind::io where the file cannot be made.
  static std::optional<LockFile> take(const std::string& path);
  /// The number of the process that holds it; empty where that is not known.
  static std::string holder(const std::string& path);

  LockFile(LockFile&& other) noexcept
      : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
  LockFile& operator=(LockFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~LockFile();

 private:
  LockFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

  std::string path_;
  int descriptor_;
};

}  // namespace gradus::apps
