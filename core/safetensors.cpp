// The safetensors format: u64 little-endian length N, N bytes of JSON, then the tensors' bytes without gaps.
#include "core/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/half.h"
#include "core/json.h"
#include "core/shortened.h"

namespace gradus::safetensors {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files hold little-endian numbers");

constexpr const char* metadata_key = "__metadata__";
constexpr uint64_t max_header = 100'000'000;

struct FormatName {
  DType dtype;
  const char* name;
};
constexpr FormatName format_names[] = {{DType::float32, "F32"},  {DType::float64, "F64"}, {DType::int32, "I32"},
                                       {DType::int64, "I64"},    {DType::uint8, "U8"},    {DType::boolean, "BOOL"},
                                       {DType::bfloat16, "BF16"}};
/// Read as float32.
constexpr const char* half_name = "F16";
/// Names of the format that have no counterpart here.
constexpr const char* foreign_names[] = {"I8", "F8_E5M2", "F8_E4M3", "I16", "U16", "U32", "U64"};

const char* format_name(DType dtype) {
  for (const FormatName& f : format_names)
    if (f.dtype == dtype) return f.name;
  fail(ErrorKind::dtype, "safetensors", "the format has no name for dtype ", dtype);
}

/// In quotes and with escapes, so that a message stays one line.
std::string quoted(const std::string& name) { return shortened(Json(name).dump()); }

// ---- Reading -------------------------------------------------------------------------------------------------------

/// Where a tensor lies in the file's buffer.
struct Entry {
  std::string name;
  DType dtype = DType::float32;
  bool is_half = false;  ///< in the file
  Shape shape;
  uint64_t begin = 0, end = 0;
};

/// A file being read: every error begins with its name.
class Parser {
 public:
  explicit Parser(const std::string& path) : file_(path) {}

  Content parse() {
    const Json header = parse_header();
    Content content;
    std::vector<Entry> entries;
    for (const auto& [name, value] : header.object()) {
      if (name == metadata_key)
        content.metadata = parse_metadata(value);
      else
        entries.push_back(parse_entry(name, value));
    }
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
    check_coverage(entries);
    for (const Entry& entry : entries) content.tensors.emplace(entry.name, read_tensor(entry));
    return content;
  }

 private:
  template <class... Args>
  [[noreturn]] void reject(const Args&... reason) const {
    fail(ErrorKind::io, "safetensors", file_.path(), ": ", reason...);
  }

  Json parse_header() {
    if (file_.size() < 8)
      reject("has ", file_.size(), " bytes, but the length of the header alone takes 8: the file was cut short");
    uint64_t length = 0;
    file_.read(&length, sizeof length);
    if (length > max_header)
      reject("is no .safetensors file: that would begin with the length of its header, at most ", max_header,
             ", and this reads as ", length);
    if (length > file_.size() - 8)
      reject("claims a header of ", length, " bytes, but only ", file_.size() - 8,
             " follow: the file was cut short, or is another than a .safetensors");
    buffer_size_ = file_.size() - 8 - length;
    std::string text(length, '\0');
    file_.read(text.data(), text.size());
    if (text.empty() || text[0] != '{') reject("the header does not begin with {");

    try {
      return Json::parse(text);
    } catch (const RepeatedKey& error) {
      reject("the header has the key ", error.key(), " twice");
    } catch (const JsonError& error) {
      reject("the header is not UTF-8 JSON: ", error.what());
    }
  }

  std::map<std::string, std::string> parse_metadata(const Json& value) const {
    if (!value.is_object()) reject(metadata_key, " is not an object");
    std::map<std::string, std::string> metadata;
    for (const auto& [key, text] : value.object()) {
      if (!text.is_string()) reject(metadata_key, " has a value that is not a string: ", quoted(key));
      metadata[key] = text.string();
    }
    return metadata;
  }

  /// value[key], which must be a list of non-negative integers.
  std::vector<uint64_t> integers(const std::string& name, const Json& value, const char* key) const {
    const Json* found = value.find(key);
    if (!found || !found->is_array()) reject("tensor ", quoted(name), " has no list \"", key, "\"");
    std::vector<uint64_t> numbers;
    for (const Json& item : found->array()) {
      if (!item.is_unsigned())
        reject("tensor ", quoted(name), " has in \"", key, "\" a ", item.is_number() ? item.dump() : item.type_name(),
               " where a non-negative integer must stand");
      numbers.push_back(item.get<uint64_t>());
    }
    return numbers;
  }

  void parse_dtype(const Json& value, Entry& entry) const {
    const std::string& name = entry.name;
    const Json* found = value.find("dtype");
    if (!found || !found->is_string()) reject("tensor ", quoted(name), " has no \"dtype\"");
    const std::string& text = found->string();
    entry.is_half = text == half_name;
    if (entry.is_half) return;
    for (const FormatName& f : format_names)
      if (text == f.name) {
        entry.dtype = f.dtype;
        return;
      }
    for (const char* foreign : foreign_names)
      if (text == foreign)
        reject("tensor ", quoted(name), " has dtype ", text, ", which gradus lacks: convert it to F32 or I64");
    reject("tensor ", quoted(name), " has the unknown dtype ", quoted(text));
  }

  Entry parse_entry(const std::string& name, const Json& value) const {
    if (!value.is_object()) reject("tensor ", quoted(name), " is not described by an object");
    Entry entry;
    entry.name = name;
    parse_dtype(value, entry);
    const std::vector<uint64_t> shape = integers(name, value, "shape"), offsets = integers(name, value, "data_offsets");
    if (shape.size() > max_rank)
      reject("tensor ", quoted(name), " has rank ", shape.size(), "; at most ", max_rank, " is possible");
    int64_t bytes = entry.is_half ? 2 : static_cast<int64_t>(size_of(entry.dtype));
    for (uint64_t extent : shape) {
      if (extent > INT64_MAX || __builtin_mul_overflow(bytes, extent, &bytes))
        reject("tensor ", quoted(name), " has a shape whose size overflows");
      entry.shape.push_back(static_cast<int64_t>(extent));
    }
    if (offsets.size() != 2) reject("tensor ", quoted(name), " has ", offsets.size(), " data_offsets instead of 2");
    entry.begin = offsets[0];
    entry.end = offsets[1];
    if (entry.end < entry.begin)
      reject("tensor ", quoted(name), " ends at ", entry.end, ", before it begins at ", entry.begin);
    if (entry.end - entry.begin != static_cast<uint64_t>(bytes))
      reject("tensor ", quoted(name), " of dtype ", entry.is_half ? "float16" : gradus::name(entry.dtype),
             " and shape ", entry.shape, " needs ", bytes, " bytes, but its data_offsets span ",
             entry.end - entry.begin);
    return entry;
  }

  /// The entries, sorted by place, must cover the buffer without holes or overlaps.
  void check_coverage(const std::vector<Entry>& entries) const {
    uint64_t covered = 0;
    for (const Entry& entry : entries) {
      if (entry.begin != covered)
        reject("tensor ", quoted(entry.name), " begins at byte ", entry.begin, " of the buffer, but ", covered,
               " was expected: ", entry.begin < covered ? "tensors overlap" : "there is a hole");
      covered = entry.end;
    }
    if (covered != buffer_size_)
      reject("the tensors take ", covered, " bytes, but ", buffer_size_, " follow the header",
             covered > buffer_size_ ? ": the file was cut short" : "");
  }

  Tensor read_tensor(const Entry& entry) {
    std::vector<char> bytes = file_.read(entry.end - entry.begin);
    try {
      if (entry.is_half) bytes = widened_halves(bytes);
      return Tensor::from_bytes(bytes.data(), entry.shape, entry.dtype);
    } catch (const Error& error) {
      reject("tensor ", quoted(entry.name), ": ", error.what());
    }
  }

  FileReader file_;
  uint64_t buffer_size_ = 0;
};

// ---- Writing -------------------------------------------------------------------------------------------------------

using Item = const std::pair<const std::string, Tensor>*;

/// Wider dtypes first, so that every tensor is aligned for its dtype; then by name.
std::vector<Item> in_file_order(const std::map<std::string, Tensor>& tensors) {
  std::vector<Item> items;
  for (const auto& item : tensors) {
    if (item.first == metadata_key) fail(ErrorKind::value, "safetensors", "a tensor cannot be named ", metadata_key);
    if (!item.second.defined()) fail(ErrorKind::value, "safetensors", "tensor ", quoted(item.first), " is undefined");
    items.push_back(&item);
  }
  std::stable_sort(items.begin(), items.end(),
                   [](Item a, Item b) { return size_of(a->second.dtype()) > size_of(b->second.dtype()); });
  return items;
}

uint64_t bytes_of(const Tensor& tensor) { return static_cast<uint64_t>(tensor.numel()) * size_of(tensor.dtype()); }

std::string header_text(const std::vector<Item>& items, const std::map<std::string, std::string>& metadata) {
  Json::Object header;
  if (!metadata.empty()) header.emplace_back(metadata_key, metadata);
  uint64_t offset = 0;
  for (Item item : items) {
    const auto& [name, tensor] = *item;
    const uint64_t end = offset + bytes_of(tensor);
    header.push_back({name,
                      {{"dtype", format_name(tensor.dtype())},
                       {"shape", std::vector<int64_t>(tensor.shape().begin(), tensor.shape().end())},
                       {"data_offsets", Json::Array{offset, end}}}});
    offset = end;
  }
  std::string text;
  try {
    text = Json(std::move(header)).dump(-1, Json::Invalid::reject);
  } catch (const JsonError& error) {
    fail(ErrorKind::value, "safetensors", "a name or a metadata text is not UTF-8: ", error.what());
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  if (text.size() > max_header)
    fail(ErrorKind::value, "safetensors", "names and metadata exceed ", max_header, " bytes");
  return text;
}

}  // namespace

Content load(const std::string& path) { return Parser(path).parse(); }

void save(const std::string& path, const std::map<std::string, Tensor>& tensors,
          const std::map<std::string, std::string>& metadata) {
  const std::vector<Item> items = in_file_order(tensors);
  const std::string header = header_text(items, metadata);
  write_file_atomically(path, [&](FileWriter& file) {
    const uint64_t length = header.size();
    file.write(&length, sizeof length);
    file.write(header);
    for (Item item : items) {
      const std::vector<char> bytes = item->second.to_bytes();
      file.write(bytes.data(), bytes.size());
    }
  });
}

}  // namespace gradus::safetensors
