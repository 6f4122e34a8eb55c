// Files through POSIX calls, because the standard streams can neither fsync nor say why they failed.
#include "core/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace gradus {
namespace {

/// A single transfer stays below what the kernel accepts in one call.
constexpr size_t max_transfer = size_t{1} << 30;

[[noreturn]] void fail_system(const char* what, const std::string& path) {
  const int reason = errno;
  fail(ErrorKind::io, "file", "cannot ", what, " ", path, ": ", std::strerror(reason));
}

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return number_; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// Whether flock() failed for want of a file system that knows locks: Lustre has none unless it is mounted with them.
bool knows_no_locks(int error) { return error == ENOSYS || error == EOPNOTSUPP || error == ENOLCK; }

/// `counted`, where it is given, counts what was written also where this throws.
void write_all(int descriptor, const std::string& path, const void* from, size_t bytes, size_t* counted = nullptr) {
  size_t own = 0, &done = counted ? *counted : own;
  while (done < bytes) {
    const ssize_t n = ::write(descriptor, static_cast<const char*>(from) + done, std::min(bytes - done, max_transfer));
    if (n < 0 && errno != EINTR) fail_system("write", path);
    if (n > 0) done += static_cast<size_t>(n);
  }
}

void sync_folder(const std::string& path) {
  Descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0) fail_system("open the folder", path);
  // Some file systems know no fsync of folders and answer EINVAL; there is nothing more to ask of them.
  if (::fsync(folder.get()) != 0 && errno != EINVAL) fail_system("sync the folder", path);
}

}  // namespace

// O_NONBLOCK: opening a pipe would wait for its other end; to a regular file it means nothing.
FileReader::FileReader(const std::string& path)
    : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (descriptor_ < 0) fail_system("open", path);
  struct stat info = {};
  const bool known = ::fstat(descriptor_, &info) == 0;
  if (!known || !S_ISREG(info.st_mode)) {
    const int reason = errno;
    ::close(descriptor_);
    errno = reason;
    if (!known) fail_system("inspect", path);
    fail(ErrorKind::io, "file", "cannot read ", path, ": it is ",
         S_ISDIR(info.st_mode) ? "a folder" : "not a regular file");
  }
  size_ = static_cast<uint64_t>(info.st_size);
}

FileReader::~FileReader() { ::close(descriptor_); }

void FileReader::read(void* to, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const ssize_t n = ::read(descriptor_, static_cast<char*>(to) + done, std::min(bytes - done, max_transfer));
    if (n == 0) fail(ErrorKind::io, "file", path_, " ends ", bytes - done, " bytes too early: the file was cut");
    if (n < 0 && errno != EINTR) fail_system("read", path_);
    if (n > 0) done += static_cast<size_t>(n);
  }
}

std::vector<char> FileReader::read(size_t bytes) {
  std::vector<char> content;
  try {
    content.resize(bytes);
  } catch (const std::exception&) {
    fail(ErrorKind::io, "file", "no memory for ", bytes, " bytes of ", path_);
  }
  read(content.data(), bytes);
  return content;
}

void FileWriter::write(const void* from, size_t bytes) { write_all(descriptor_, path_, from, bytes); }

FileAppender::FileAppender(const std::string& path)
    : path_(path), descriptor_(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666)) {
  if (descriptor_ < 0) fail_system("create", path_);
}

FileAppender::~FileAppender() { ::close(descriptor_); }

void FileAppender::append(std::string_view record) {
  rest_ += record;
  size_t written = 0;
  try {
    write_all(descriptor_, path_, rest_.data(), rest_.size(), &written);
  } catch (...) {
    rest_.erase(0, written);
    throw;
  }
  rest_.clear();
}

// Network file systems lock only what is open for writing, and answer EBADF else.
int open_locked(const std::string& path, int access, bool wait) {
  for (;;) {
    Descriptor file(::open(path.c_str(), access | O_CREAT | O_CLOEXEC, 0666));
    if (file.get() < 0) fail_system("create", path);
    bool locked = true;
    while (locked && ::flock(file.get(), LOCK_EX | (wait ? 0 : LOCK_NB)) != 0) {
      if (errno == EWOULDBLOCK) return -1;
      if (errno == EBADF && (access & O_ACCMODE) == O_RDONLY) return open_locked(path, access | O_RDWR, wait);
      locked = !knows_no_locks(errno);
      if (locked && errno != EINTR) fail_system("lock", path);
    }
    struct stat held = {}, named = {};
    if (::fstat(file.get(), &held) != 0) fail_system("inspect", path);
    if (!locked || (::stat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino && held.st_dev == named.st_dev))
      return file.release();
  }
}

std::string read_file(const std::string& path) {
  FileReader file(path);
  std::string bytes(file.size(), '\0');
  file.read(bytes.data(), bytes.size());
  return bytes;
}

void write_file_atomically(const std::string& path, const std::function<void(FileWriter&)>& fill) {
  struct stat present = {};
  if (::stat(path.c_str(), &present) == 0 && !S_ISREG(present.st_mode))
    fail(ErrorKind::io, "file", "cannot replace ", path, ": it is ",
         S_ISDIR(present.st_mode) ? "a folder" : "not a regular file");
  const std::string temporary = path + ".tmp";
  const Descriptor file(open_locked(temporary, O_WRONLY, true));
  try {
    if (::ftruncate(file.get(), 0) != 0) fail_system("empty", temporary);
    FileWriter writer(path, file.get());
    fill(writer);
    if (::fsync(file.get()) != 0) fail_system("sync", temporary);
    if (std::rename(temporary.c_str(), path.c_str()) != 0) fail_system("replace", path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_folder(folder_of(path));
}

void write_file_atomically(const std::string& path, std::string_view bytes) {
  write_file_atomically(path, [bytes](FileWriter& file) { file.write(bytes); });
}

}  // namespace gradus
