#include "data/cache.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "data/packing.h"

namespace gradus {
namespace {

// The file: magic, bytes of the header, header, train pixels, train labels, test pixels, test labels, checksum of all
// that lies between the header's length and itself.
constexpr char magic[] = "gradus packed 1\n";
constexpr size_t magic_size = sizeof magic - 1;

std::string header_of(const std::string& key, const DataSplits& splits) {
  FieldWriter header;
  header.add(key);
  const DatasetInfo& info = splits.train.info();
  header.add(info.name);
  for (int64_t value : {info.channels, info.height, info.width, splits.train.num_classes()}) header.add(value);
  for (const std::string& name : info.class_names) header.add(name);
  for (const Dataset* split : {&splits.train, &splits.test}) header.add(split->size());
  return header.bytes();
}

template <class T>
std::vector<T> read_values(FileReader& file, Checksum& checksum, uint64_t count, uint64_t& left) {
  if (count * sizeof(T) > left) throw Damaged();
  left -= count * sizeof(T);
  std::vector<T> values(count);
  file.read(values.data(), count * sizeof(T));
  checksum.update(values.data(), count * sizeof(T));
  return values;
}

DataSplits parse(FileReader& file, const std::string& key) {
  char found_magic[magic_size];
  uint64_t header_size, left = file.size();
  if (left < magic_size + 2 * sizeof(uint64_t)) throw Damaged();
  file.read(found_magic, magic_size);
  file.read(&header_size, sizeof header_size);
  left -= magic_size + 2 * sizeof(uint64_t);
  if (std::memcmp(found_magic, magic, magic_size) != 0 || header_size > largest_text) throw Damaged();
  Checksum checksum;
  const std::vector<char> bytes = read_values<char>(file, checksum, header_size, left);

  FieldReader header({bytes.data(), bytes.size()});
  if (header.string() != key) throw Damaged();
  DatasetInfo info{.name = header.string(), .channels = 0, .height = 0, .width = 0, .class_names = {}};
  for (int64_t* value : {&info.channels, &info.height, &info.width}) *value = header.integer(1 << 16);
  const int64_t classes = header.integer(1 << 20);
  for (int64_t c = 0; c < classes; ++c) info.class_names.push_back(header.string());
  const auto image_size = static_cast<uint64_t>(info.channels * info.height * info.width);
  Dataset splits[2];
  uint64_t counts[2];
  for (uint64_t& count : counts) count = static_cast<uint64_t>(header.integer(int64_t{1} << 32));
  for (int i = 0; i < 2; ++i) {
    if (image_size > 0 && counts[i] > left / image_size) throw Damaged();
    auto pixels = read_values<uint8_t>(file, checksum, counts[i] * image_size, left);
    auto labels = read_values<int32_t>(file, checksum, counts[i], left);
    splits[i] = Dataset(info, std::move(pixels), std::move(labels));
  }
  uint64_t expected;
  file.read(&expected, sizeof expected);
  if (left != 0 || checksum.value() != expected) throw Damaged();
  return {.train = splits[0], .test = splits[1], .notes = {}};
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

std::string cache_folder() {
  if (const std::string own = variable("GRADUS_CACHE"); !own.empty()) return own;
  if (const std::string xdg = variable("XDG_CACHE_HOME"); !xdg.empty()) return xdg + "/gradus";
  if (const std::string home = variable("HOME"); !home.empty()) return home + "/.cache/gradus";
  return {};
}

void make_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail(ErrorKind::io, "cache", "cannot make the folder ", folder, " (", error.message(), ")");
}

void write_packed(const std::string& path, const std::string& key, const DataSplits& splits) {
  make_folder(std::filesystem::path(path).parent_path().string());
  const std::string header = header_of(key, splits);
  const uint64_t header_size = header.size();
  write_file_atomically(path, [&](FileWriter& file) {
    Checksum checksum;
    const auto write = [&](const void* data, size_t size) {
      file.write(data, size);
      checksum.update(data, size);
    };
    file.write(magic, magic_size);
    file.write(&header_size, sizeof header_size);
    write(header.data(), header.size());
    for (const Dataset* split : {&splits.train, &splits.test}) {
      write(split->pixels().data(), split->pixels().size());
      write(split->labels().data(), split->labels().size_bytes());
    }
    const uint64_t value = checksum.value();
    file.write(&value, sizeof value);
  });
}

std::optional<DataSplits> read_packed(const std::string& path, const std::string& key) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return std::nullopt;
  try {
    FileReader file(path);
    return parse(file, key);
  } catch (const Damaged&) {
  } catch (const Error&) {
  }
  return std::nullopt;
}

}  // namespace gradus
