// Whole files: sequential reading with errors that name the file, and writing that either replaces a file completely or
// leaves it as it was, whatever interrupts it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace gradus {

/// Reads a regular file from its beginning. Every error is ErrorKind::io and names the file and the system's reason.
class FileReader {
 public:
  explicit FileReader(const std::string& path);
  ~FileReader();
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  const std::string& path() const { return path_; }
  /// In bytes, when it was opened.
  uint64_t size() const { return size_; }
  /// Fills `to` with the next `bytes`; throws where the file ends before.
  void read(void* to, size_t bytes);
  /// The next `bytes`; throws where there is no memory for them, too.
  std::vector<char> read(size_t bytes);

 private:
  std::string path_;
  int descriptor_;
  uint64_t size_ = 0;
};

/// What the function given to write_file_atomically() writes through.
class FileWriter {
 public:
  void write(const void* from, size_t bytes);
  void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }

 private:
  friend void write_file_atomically(const std::string& path, const std::function<void(FileWriter&)>& fill);
  FileWriter(const std::string& path, int descriptor) : path_(path), descriptor_(descriptor) {}

  const std::string& path_;
  int descriptor_;
};

/// A new file that grows by whole records: what append() was given is in the file when it returns, however the program
/// ends. Where it throws, for want of space, it keeps what did not fit, and the next call writes that first. Errors are
/// ErrorKind::io and name the file.
class FileAppender {
 public:
  /// Throws where there is a file of this name.
  explicit FileAppender(const std::string& path);
  ~FileAppender();
  FileAppender(const FileAppender&) = delete;
  FileAppender& operator=(const FileAppender&) = delete;

  const std::string& path() const { return path_; }
  void append(std::string_view record);

 private:
  std::string path_;
  int descriptor_;
  std::string rest_;
};

/// Opens `path` for what `access`, open()'s flags, say, makes it where it is missing, and locks it against other
/// processes until the descriptor is closed. The lock is on the file that the name stands for: who held it before may
/// have renamed or removed it. Where the file system knows no locks there is none. -1 where another process holds it
/// and this is not to wait. Throws ErrorKind::io naming the file.
int open_locked(const std::string& path, int access, bool wait);

/// The whole content. Throws ErrorKind::io naming the file.
std::string read_file(const std::string& path);

/// Replaces `path` by what `fill` writes: into PATH.tmp in the same folder, then fsync, rename, fsync of the folder. A
/// reader sees the old content or the new, never a part; if anything throws, the old content stays and PATH.tmp is
/// removed. Writers of the same path, also in other processes, take turns. Throws ErrorKind::io naming the file.
void write_file_atomically(const std::string& path, const std::function<void(FileWriter&)>& fill);
void write_file_atomically(const std::string& path, std::string_view bytes);

}  // namespace gradus
