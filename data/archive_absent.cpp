// Stands in for archive_libarchive.cpp in builds without libarchive or zlib.
#include "core/error.h"
#include "data/archive.h"

namespace gradus {
namespace {

[[noreturn]] void fail_without_libarchive(const std::string& path) {
  fail(ErrorKind::backend, "archive", path,
       " is compressed or an archive, which this build cannot read: unpack it and name what came out, or install "
       "libarchive-dev and zlib1g-dev and build with -Darchive=enabled");
}

}  // namespace

void visit_archive(const std::string& path, const FileVisitor&) { fail_without_libarchive(path); }
std::string read_gzip(const std::string& path, uint64_t) { fail_without_libarchive(path); }

}  // namespace gradus
