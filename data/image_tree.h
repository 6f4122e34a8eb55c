// Which pictures a folder or an archive holds, by their place in it. Internal to data.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "data/file_source.h"

namespace gradus {

struct ImageFile {
  std::string class_name, name;
  std::string bytes;  ///< where they were to be read
};

/// [TOP/]SPLIT/CLASS/.../FILE: the pictures of each split ("train", "test", "val"), sorted by class, then by name.
/// Other files are passed over. Throws ErrorKind::io where they lie below more than one TOP.
using ImageTree = std::map<std::string, std::vector<ImageFile>>;
///
/// Pictures in formats that are not read are left out, with a note of how many there are in which class; where a class
/// has no others, ErrorKind::io names it.
ImageTree list_splits(const FileSource& source, bool read_bytes, std::vector<std::string>& notes);
/// Whether a name lies so.
bool is_in_split(const std::string& name);

/// [TOP/]CLASS/.../FILE, sorted in the same way, with the same notes.
std::vector<ImageFile> list_classes(const FileSource& source, bool read_bytes, std::vector<std::string>& notes);

/// The sorted names of the classes of sorted files.
std::vector<std::string> class_names_of(const std::vector<ImageFile>& files);
/// The number of each file's class. Throws ErrorKind::io naming a file whose class is not among the names.
std::vector<int32_t> labels_of(const std::vector<ImageFile>& files, const std::vector<std::string>& class_names,
                               const FileSource& source);

/// The name of the folder, or of the archive without its ending.
std::string title_of(const FileSource& source);

}  // namespace gradus
