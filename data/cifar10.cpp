#include "data/cifar10.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "core/error.h"
#include "data/file_source.h"

namespace gradus {
namespace {

constexpr int64_t side = 32, area = side * side, records_per_file = 10000, record_size = 1 + 3 * area;

// The last one is the test split.
constexpr std::array<std::string_view, 6> file_names = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                                        "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"};

/// Records of (label, red plane, green plane, blue plane) to interleaved pixels and labels.
void unpack(const std::string& bytes, const std::string& name, uint8_t* pixels, int32_t* labels) {
  if (std::cmp_not_equal(bytes.size(), records_per_file * record_size))
    fail(ErrorKind::io, "cifar10", name, " has ", bytes.size(), " bytes where ", records_per_file * record_size,
         " were expected: it was cut or is another file; unpack or download it again");
  const auto* record = reinterpret_cast<const uint8_t*>(bytes.data());
  for (int64_t r = 0; r < records_per_file; ++r, record += record_size) {
    if (record[0] > 9)
      fail(ErrorKind::io, "cifar10", name, ", record ", r, ": label ", static_cast<int>(record[0]),
           " is not in 0..9; the file is damaged: unpack or download it again");
    labels[r] = record[0];
    for (int64_t c = 0; c < 3; ++c) {
      const uint8_t* plane = record + 1 + c * area;
      for (int64_t i = 0; i < area; ++i) pixels[(r * area + i) * 3 + c] = plane[i];
    }
  }
}

}  // namespace

const std::vector<std::string>& cifar10_classes() {
  static const std::vector<std::string> names = {"airplane", "automobile", "bird",  "cat",  "deer",
                                                 "dog",      "frog",       "horse", "ship", "truck"};
  return names;
}

bool is_cifar10_name(std::string_view name) {
  return std::find(file_names.begin(), file_names.end(), base_name(name)) != file_names.end();
}

DataSplits read_cifar10(const std::string& path) {
  const std::filesystem::path inner = std::filesystem::path(path) / "cifar-10-batches-bin";
  std::error_code ignored;
  const FileSource source(std::filesystem::is_directory(inner, ignored) ? inner.string() : path);

  constexpr size_t train_records = 5 * records_per_file;
  std::vector<uint8_t> train_pixels(train_records * 3 * area), test_pixels(records_per_file * 3 * area);
  std::vector<int32_t> train_labels(train_records), test_labels(records_per_file);
  std::array<bool, 6> found{};
  OnePlace place(source, "CIFAR-10");
  source.visit([&](const std::string& name, const std::function<std::string()>& read) {
    const auto at = std::find(file_names.begin(), file_names.end(), base_name(name));
    if (at == file_names.end()) return true;
    place.add(name, folder_of(name));
    const int64_t file = at - file_names.begin();
    found[static_cast<size_t>(file)] = true;
    if (file == 5)
      unpack(read(), source.full_name(name), test_pixels.data(), test_labels.data());
    else
      unpack(read(), source.full_name(name), train_pixels.data() + file * records_per_file * 3 * area,
             train_labels.data() + file * records_per_file);
    return std::find(found.begin(), found.end(), false) != found.end();
  });
  for (size_t i = 0; i < found.size(); ++i)
    if (!found[i])
      fail(ErrorKind::io, "cifar10", source.path(), " has no ", file_names[i],
           ": unpack or download cifar-10-binary.tar.gz again");

  const DatasetInfo info{
      .name = "CIFAR-10", .channels = 3, .height = side, .width = side, .class_names = cifar10_classes()};
  return {.train = Dataset(info, std::move(train_pixels), std::move(train_labels)),
          .test = Dataset(info, std::move(test_pixels), std::move(test_labels)),
          .notes = {}};
}

}  // namespace gradus
