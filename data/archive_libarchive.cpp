// data/archive.h through libarchive.
#include <archive.h>
#include <archive_entry.h>

#include <memory>

#include "core/error.h"
#include "data/archive.h"

namespace gradus {
namespace {

constexpr size_t block_size = 1 << 16;

struct FreeReader {
  void operator()(archive* reader) const { archive_read_free(reader); }
};
using Reader = std::unique_ptr<archive, FreeReader>;

[[noreturn]] void fail_reading(archive* reader, const std::string& path, const char* hint) {
  const char* reason = archive_error_string(reader);
  fail(ErrorKind::io, "archive", path, " cannot be read (", reason ? reason : "unknown error", "): ", hint);
}

Reader new_reader() {
  Reader reader(archive_read_new());
  if (!reader) fail(ErrorKind::io, "archive", "out of memory");
  return reader;
}

constexpr const char* archive_hint = "is it a whole .tar, .tar.gz or .zip? Copy or download it again";
constexpr const char* gzip_hint = "is it a whole .gz? Copy or download it again";

void open(archive* reader, const std::string& path, const char* hint) {
  if (archive_read_open_filename(reader, path.c_str(), block_size) != ARCHIVE_OK) fail_reading(reader, path, hint);
}

/// False at the end of the archive.
bool next(archive* reader, archive_entry*& entry, const std::string& path, const char* hint) {
  const int status = archive_read_next_header(reader, &entry);
  if (status == ARCHIVE_EOF) return false;
  if (status < ARCHIVE_WARN) fail_reading(reader, path, hint);
  return true;
}

std::string read_rest(archive* reader, const std::string& path, uint64_t limit, const char* hint) {
  std::string bytes;
  char block[block_size];
  for (;;) {
    const la_ssize_t count = archive_read_data(reader, block, sizeof block);
    if (count < 0) fail_reading(reader, path, hint);
    if (count == 0) return bytes;
    if (bytes.size() + static_cast<uint64_t>(count) > limit)
      fail(ErrorKind::io, "archive", path, " holds more than the ", limit,
           " bytes that were expected: is it the right file?");
    bytes.append(block, static_cast<size_t>(count));
  }
}

std::string name_of(archive_entry* entry) {
  const char* name = archive_entry_pathname(entry);
  if (!name) name = archive_entry_pathname_utf8(entry);
  std::string_view view = name ? name : "";
  while (view.starts_with("./")) view.remove_prefix(2);
  return std::string(view);
}

}  // namespace

void visit_archive(const std::string& path, const FileVisitor& visit) {
  const Reader reader = new_reader();
  archive_read_support_filter_all(reader.get());
  archive_read_support_format_tar(reader.get());
  archive_read_support_format_zip(reader.get());
  open(reader.get(), path, archive_hint);
  archive_entry* entry = nullptr;
  while (next(reader.get(), entry, path, archive_hint)) {
    const bool hard_link = archive_entry_hardlink(entry) != nullptr;
    if (!hard_link && archive_entry_filetype(entry) != AE_IFREG) continue;
    const std::string name = name_of(entry);
    const auto read = [&] {
      if (hard_link)
        fail(ErrorKind::io, "archive", path, ": ", name,
             " is a hard link, whose bytes lie elsewhere in the archive: "
             "unpack it and name the folder");
      return read_rest(reader.get(), path + ":" + name, UINT64_MAX, archive_hint);
    };
    if (!visit(name, read)) return;
  }
}

std::string read_gzip(const std::string& path, uint64_t limit) {
  const Reader reader = new_reader();
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_format_raw(reader.get());
  open(reader.get(), path, gzip_hint);
  archive_entry* entry = nullptr;
  if (!next(reader.get(), entry, path, gzip_hint)) return {};
  if (archive_filter_code(reader.get(), 0) != ARCHIVE_FILTER_GZIP)
    fail(ErrorKind::io, "archive", path, " is not gzip-compressed: ", gzip_hint);
  return read_rest(reader.get(), path, limit, gzip_hint);
}

}  // namespace gradus
