// Reading archives and compressed files without unpacking them, through libarchive and zlib (-Darchive); built without
// them, each of these calls throws an error that says how to go on.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace gradus {

/// Given to the visitor of an archive or a folder: a file's name, and a function that returns its bytes during the
/// visit. The visitor returns false to stop.
using FileVisitor = std::function<bool(const std::string& name, const std::function<std::string()>& read)>;

/// Visits the regular files of a .tar, .tar.gz, .tar.bz2, .tar.xz or .zip, in the archive's order; what it has of
/// checksums is compared before this returns. Several .tar or .tar.gz one after another are one. Throws ErrorKind::io
/// naming the archive (missing, not an archive, cut, corrupt, or with a file of more than 1 GiB that is read).
void visit_archive(const std::string& archive, const FileVisitor& visit);

/// The content of a .gz file, of all its members where it has several, as `cat a.gz b.gz` makes it. Throws
/// ErrorKind::io naming it (missing, not compressed, cut, corrupt, followed by other bytes, or holding more than
/// `limit` bytes).
std::string read_gzip(const std::string& path, uint64_t limit);

}  // namespace gradus
