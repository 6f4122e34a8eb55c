// The user's cache: where downloads go, and where image folders are kept packed, so that they are decoded once.
#pragma once

#include <optional>
#include <string>

#include "data/dataset.h"

namespace gradus {

/// $GRADUS_CACHE, else $XDG_CACHE_HOME/gradus, else ~/.cache/gradus; empty where none of the variables is set. The
/// folder need not exist.
std::string cache_folder();

/// Makes it where it is missing, with those above it. Throws ErrorKind::io.
void make_folder(const std::string& folder);

/// Both splits in one file, for the machine that wrote it. `key` says what they were made of. Replaces the file
/// completely or not at all, and makes the folder. Throws ErrorKind::io.
void write_packed(const std::string& path, const std::string& key, const DataSplits& splits);

/// What write_packed() wrote; nothing where there is no such file, or it has another key or is damaged in any way.
std::optional<DataSplits> read_packed(const std::string& path, const std::string& key);

}  // namespace gradus
