// A tree of files, whether it is a folder or an archive of one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "data/archive.h"

namespace gradus {

class FileSource {
 public:
  /// A folder, or an archive that visit_archive() reads. Throws ErrorKind::io where there is neither.
  explicit FileSource(std::string path);

  const std::string& path() const { return path_; }
  bool is_archive() const { return is_archive_; }
  /// A file's name in messages: FOLDER/name or ARCHIVE:name.
  std::string full_name(const std::string& name) const;

  /// Visits every regular file below, except those whose own or whose folder's name begins with a dot. Names are
  /// relative, with '/'; a folder is visited in sorted order, an archive in its own. Links are followed, but not to a
  /// folder that they lie in. Throws ErrorKind::io.
  void visit(const FileVisitor& visit) const;

  /// A digest of the path and of the size and time of modification of the archive, or of every file of the folder:
  /// equal as long as nothing was changed.
  std::string fingerprint() const;

 private:
  std::string path_;
  bool is_archive_;
};

/// The part of a name after its last '/', and the part before it, "" at the top.
std::string_view base_name(std::string_view name);
std::string_view folder_of(std::string_view name);

/// That what is read as one data set lies in one place.
class OnePlace {
 public:
  /// `kind` is the data set's, in messages.
  OnePlace(const FileSource& source, const char* kind) : source_(source), kind_(kind) {}
  /// A file of the data set, and the folder that holds all of it. Throws ErrorKind::io naming this file and the first
  /// one where that was another folder.
  void add(const std::string& name, std::string_view folder);

 private:
  const FileSource& source_;
  const char* kind_;
  std::string first_, folder_;
};

inline std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace gradus
