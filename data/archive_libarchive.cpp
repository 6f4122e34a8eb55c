// data/archive.h through libarchive.
#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <fstream>
#include <memory>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/shortened.h"
#include "data/archive.h"
#include "data/crc32.h"

namespace gradus {
namespace {

constexpr size_t block_size = 1 << 16;
constexpr const char* archive_hint = "is it a whole .tar, .tar.gz or .zip? Copy or download it again";
constexpr const char* gzip_hint = "is it a whole .gz? Copy or download it again";

/// libarchive's reader of one file: its errors name the file.
class Reader {
 public:
  Reader(std::string path, const char* hint) : path_(std::move(path)), hint_(hint), reader_(archive_read_new()) {
    if (!reader_) fail(ErrorKind::io, "archive", "out of memory");
  }
  archive* get() const { return reader_.get(); }
  const std::string& path() const { return path_; }

  void open() {
    if (archive_read_open_filename(get(), path_.c_str(), block_size) != ARCHIVE_OK) fail_reading();
  }
  /// False at the end of the archive.
  bool next(archive_entry*& entry) {
    const int status = archive_read_next_header(get(), &entry);
    if (status == ARCHIVE_EOF) return false;
    // A warning is of names that the locale cannot show, but to be tried again means that a header is damaged.
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) fail_reading();
    return true;
  }
  /// The next bytes of the entry, at most so many; 0 at its end.
  size_t read(char* to, size_t size) {
    const la_ssize_t count = archive_read_data(get(), to, size);
    if (count < 0) fail_reading();
    return static_cast<size_t>(count);
  }
  [[noreturn]] void fail_reading() const {
    const char* reason = archive_error_string(get());
    fail(ErrorKind::io, "archive", path_, " cannot be read (",
         reason && *reason ? shortened(reason, 200) : "it is damaged or ends too early", "): ", hint_);
  }

 private:
  struct Free {
    void operator()(archive* reader) const { archive_read_free(reader); }
  };
  std::string path_;
  const char* hint_;
  std::unique_ptr<archive, Free> reader_;
};

/// The content of a .gz file, piece by piece. libarchive passes over the checksum at its end; here it is compared.
class GzipStream {
 public:
  GzipStream(const std::string& path, const char* hint) : reader_(path, hint) {
    archive_read_support_filter_gzip(reader_.get());
    archive_read_support_format_raw(reader_.get());
    reader_.open();
    archive_entry* entry = nullptr;
    is_empty_ = !reader_.next(entry);
    if (!is_empty_ && archive_filter_code(reader_.get(), 0) != ARCHIVE_FILTER_GZIP)
      fail(ErrorKind::io, "archive", path, " is not gzip-compressed: ", hint);
  }
  const std::string& path() const { return reader_.path(); }
  size_t read(char* to, size_t size) {
    const size_t count = is_empty_ ? 0 : reader_.read(to, size);
    crc_.update({reinterpret_cast<const uint8_t*>(to), count});
    size_ += count;
    return count;
  }
  /// Reads on to the end, and throws where the content is not what was compressed.
  void finish() {
    for (char block[block_size]; read(block, sizeof block) > 0;) continue;
    // RFC 1952: the last eight bytes are the checksum and the size modulo 2^32, both little-endian.
    std::ifstream file(path(), std::ios::binary);
    unsigned char end[8] = {};
    file.seekg(-static_cast<std::streamoff>(sizeof end), std::ios::end);
    file.read(reinterpret_cast<char*>(end), sizeof end);
    const auto number = [&](size_t at) {
      return end[at] | uint32_t{end[at + 1]} << 8 | uint32_t{end[at + 2]} << 16 | uint32_t{end[at + 3]} << 24;
    };
    if (!file || number(0) != crc_.value() || number(4) != (size_ & 0xffffffff))
      fail(ErrorKind::io, "archive", path(),
           " is damaged (its content does not match the checksum at its end): copy or download it again, or, where it "
           "is several .gz one after another, unpack it");
  }

 private:
  Reader reader_;
  bool is_empty_ = false;
  Crc32 crc_;
  uint64_t size_ = 0;
};

/// A .tar.gz for libarchive to read, by the block. An exception must not pass through C code: it waits here.
struct GzipInput {
  GzipStream stream;
  std::vector<char> block = std::vector<char>(block_size);
  std::exception_ptr error = nullptr;
};

la_ssize_t on_read(archive* reader, void* context, const void** to) {
  auto& input = *static_cast<GzipInput*>(context);
  try {
    *to = input.block.data();
    return static_cast<la_ssize_t>(input.stream.read(input.block.data(), input.block.size()));
  } catch (...) {
    input.error = std::current_exception();
    archive_set_error(reader, EIO, "%s", input.stream.path().c_str());
    return ARCHIVE_FATAL;
  }
}

std::string name_of(archive_entry* entry) {
  const char* name = archive_entry_pathname(entry);
  if (!name) name = archive_entry_pathname_utf8(entry);
  std::string_view view = name ? name : "";
  while (view.starts_with("./")) view.remove_prefix(2);
  return std::string(view);
}

/// The content of an entry. A few kilobytes can be gigabytes in disguise, which shows before memory is used up.
std::string read_entry(Reader& reader, archive_entry* entry, const std::string& name) {
  constexpr uint64_t limit = uint64_t{1} << 30;
  const auto check = [&](uint64_t size) {
    if (size > limit)
      fail(ErrorKind::io, "archive", reader.path(), ": ", shortened(name, 400), " holds more than ", limit,
           " bytes, which no file of a data set has: unpack the archive and name the folder");
  };
  if (archive_entry_size_is_set(entry)) check(static_cast<uint64_t>(archive_entry_size(entry)));
  std::string bytes;
  char block[block_size];
  while (const size_t count = reader.read(block, sizeof block)) {
    check(bytes.size() + count);
    bytes.append(block, count);
  }
  return bytes;
}

/// Whether it went to the end, or what the visitor read must be checked to there.
bool visit_entries(Reader& reader, const FileVisitor& visit) {
  bool was_read = false;
  archive_entry* entry = nullptr;
  while (reader.next(entry)) {
    const bool hard_link = archive_entry_hardlink(entry) != nullptr;
    if (!hard_link && archive_entry_filetype(entry) != AE_IFREG) continue;
    const std::string name = name_of(entry);
    const auto read = [&] {
      if (hard_link)
        fail(ErrorKind::io, "archive", reader.path(), ": ", shortened(name, 400),
             " is a hard link, whose bytes lie elsewhere in the archive: "
             "unpack it and name the folder");
      was_read = true;
      return read_entry(reader, entry, name);
    };
    if (!visit(name, read)) return was_read;
  }
  return true;
}

bool begins_like_gzip(const std::string& path) {
  FileReader file(path);
  char start[2] = {};
  file.read(start, std::min<uint64_t>(file.size(), sizeof start));
  return std::string_view(start, sizeof start) == "\x1f\x8b";
}

}  // namespace

void visit_archive(const std::string& path, const FileVisitor& visit) {
  const bool gzip = begins_like_gzip(path);
  Reader reader(path, archive_hint);
  // Not all that libarchive knows: for some of it, it starts other programs.
  archive_read_support_filter_bzip2(reader.get());
  archive_read_support_filter_xz(reader.get());
  archive_read_support_format_tar(reader.get());
  archive_read_support_format_zip(reader.get());
  if (!gzip) {
    reader.open();
    visit_entries(reader, visit);
    return;
  }
  GzipInput input{.stream = GzipStream(path, archive_hint)};
  try {
    if (archive_read_open(reader.get(), &input, nullptr, &on_read, nullptr) != ARCHIVE_OK) reader.fail_reading();
    if (visit_entries(reader, visit)) input.stream.finish();
  } catch (const Error&) {
    if (input.error) std::rethrow_exception(input.error);
    throw;
  }
}

std::string read_gzip(const std::string& path, uint64_t limit) {
  FileReader file(path);  // says what is wrong with one that is missing, or no file
  GzipStream stream(path, gzip_hint);
  std::string bytes;
  char block[block_size];
  while (const size_t count = stream.read(block, sizeof block)) {
    if (bytes.size() + count > limit)
      fail(ErrorKind::io, "archive", path, " holds more than the ", limit,
           " bytes that were expected: is it the right file?");
    bytes.append(block, count);
  }
  stream.finish();
  return bytes;
}

}  // namespace gradus
