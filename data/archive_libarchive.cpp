// data/archive.h through libarchive, and zlib for what is compressed by gzip.
#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/shortened.h"
#include "data/archive.h"

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
    if (status == ARCHIVE_EOF) {
      check_end();
      return false;
    }
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
  /// libarchive takes the end of the file for the end of a .tar. A whole one ends with blocks of zeros, two by the
  /// standard and one by some writers, on which libarchive has then moved past the place of a next header.
  void check_end() const {
    const bool is_tar = (archive_format(get()) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_TAR;
    if (is_tar && archive_filter_bytes(get(), 0) == archive_read_header_position(get()))
      fail(ErrorKind::io, "archive", path_,
           " ends after a file, without the zeros that close a .tar: the rest was cut off; download it again, or, if "
           "it was written so, unpack it and name the folder");
  }

  struct Free {
    void operator()(archive* reader) const { archive_read_free(reader); }
  };
  std::string path_;
  const char* hint_;
  std::unique_ptr<archive, Free> reader_;
};

/// The content of a .gz file, piece by piece: that of all its members, which zlib compares with their checksums.
class GzipStream {
 public:
  GzipStream(const std::string& path, const char* hint) : file_(path), hint_(hint), left_(file_.size()) {
    fill();
    if (!begins_a_member()) fail(ErrorKind::io, "archive", path, " is not gzip-compressed: ", hint);
    // Last, for a constructor that throws has no destructor to give back what this takes.
    constexpr int window = 15, gzip = 16;
    if (inflateInit2(&zlib_, window + gzip) != Z_OK) fail(ErrorKind::io, "archive", "out of memory");
  }
  ~GzipStream() { inflateEnd(&zlib_); }
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  const std::string& path() const { return file_.path(); }

  /// At least one byte, or none at the end. What comes before damage is returned first.
  size_t read(char* to, size_t size) {
    zlib_.next_out = reinterpret_cast<Bytef*>(to);
    zlib_.avail_out = static_cast<uInt>(size);
    while (zlib_.avail_out == size && (is_inside_ || begin_member())) {
      fill();
      const int status = inflate(&zlib_, Z_NO_FLUSH);
      if (status == Z_STREAM_END)
        is_inside_ = false;
      else if (status != Z_OK && zlib_.avail_out == size)
        fail_inflating();
    }
    return size - zlib_.avail_out;
  }
  /// Reads on to the end, and throws where the content is not what was compressed.
  void finish() {
    for (char block[block_size]; read(block, sizeof block) > 0;) continue;
  }

 private:
  /// At least two bytes of input, where the file has them.
  void fill() {
    if (zlib_.avail_in > 1 || left_ == 0) return;
    if (zlib_.avail_in == 1) input_[0] = static_cast<char>(*zlib_.next_in);
    const size_t count = std::min<uint64_t>(left_, block_size);
    file_.read(input_.data() + zlib_.avail_in, count);
    left_ -= count;
    zlib_.next_in = reinterpret_cast<Bytef*>(input_.data());
    zlib_.avail_in += static_cast<uInt>(count);
  }
  bool begins_a_member() const { return zlib_.avail_in > 1 && zlib_.next_in[0] == 0x1f && zlib_.next_in[1] == 0x8b; }
  /// False at the end of the file, before which zeros may stand: tapes and some copies are padded with them.
  bool begin_member() {
    fill();
    const uint64_t at = file_.size() - left_ - zlib_.avail_in;
    if (begins_a_member()) {
      is_inside_ = inflateReset(&zlib_) == Z_OK;
      ++member_;
      return is_inside_;
    }
    for (; zlib_.avail_in > 0; fill())
      for (; zlib_.avail_in > 0; ++zlib_.next_in, --zlib_.avail_in)
        if (*zlib_.next_in != 0)
          fail(ErrorKind::io, "archive", path(), " has ", file_.size() - at,
               " bytes behind its compressed content, from byte ", at,
               " on, that are not gzip's: copy or download it again, or cut them off");
    return false;
  }
  [[noreturn]] void fail_inflating() const {
    const std::string_view reason = zlib_.msg ? zlib_.msg : "it is cut: it ends within its compressed content";
    const std::string which = member_ == 1 ? "" : text(" in part ", member_, ", each compressed by itself");
    if (reason == "incorrect data check" || reason == "incorrect length check")
      fail(ErrorKind::io, "archive", path(), " is damaged (its content does not match its checksum", which,
           "): copy or download it again");
    fail(ErrorKind::io, "archive", path(), " cannot be read (", reason, which, "): ", hint_);
  }

  FileReader file_;
  const char* hint_;
  uint64_t left_;  ///< bytes of the file that are not in input_ yet
  std::vector<char> input_ = std::vector<char>(block_size + 1);
  z_stream zlib_ = {};
  bool is_inside_ = false;
  uint64_t member_ = 0;
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
  // What stands behind the end of a .tar is another one, as of parts that were joined, or damage: nothing is passed
  // over.
  archive_read_set_format_option(reader.get(), "tar", "read_concatenated_archives", "1");
  if (!gzip) {
    reader.open();
    visit_entries(reader, visit);
    return;
  }
  GzipInput input{.stream = {path, archive_hint}};
  try {
    if (archive_read_open(reader.get(), &input, nullptr, &on_read, nullptr) != ARCHIVE_OK) reader.fail_reading();
    if (visit_entries(reader, visit)) input.stream.finish();
  } catch (const Error&) {
    if (input.error) std::rethrow_exception(input.error);
    throw;
  }
}

std::string read_gzip(const std::string& path, uint64_t limit) {
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
