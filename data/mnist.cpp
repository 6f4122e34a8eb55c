#include "data/mnist.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>

#include "core/error.h"
#include "core/file.h"
#include "data/file_source.h"

namespace gradus {
namespace {

constexpr std::array<std::string_view, 4> file_names = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                                        "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};
constexpr uint64_t largest_file = uint64_t{1} << 30;

/// The number of one of the four files, also with a '.' in place of the '-' before idx, as some programs unpack it.
std::optional<size_t> file_number(std::string_view name) {
  std::string plain(base_name(name));
  if (plain.ends_with(".gz")) plain.resize(plain.size() - 3);
  if (const size_t dot = plain.find(".idx"); dot != plain.npos) plain[dot] = '-';
  const auto at = std::find(file_names.begin(), file_names.end(), plain);
  if (at == file_names.end()) return std::nullopt;
  return static_cast<size_t>(at - file_names.begin());
}

/// The folder that holds all four: not one that some program unpacked a single file into, under the file's own name.
std::string_view home_of(std::string_view name) {
  const std::string_view folder = folder_of(name);
  return file_number(folder) ? folder_of(folder) : folder;
}

uint32_t big_endian(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

/// An IDX file of bytes, checked: magic 0x08 and the rank, that many extents, then exactly their product of bytes.
struct Idx {
  std::string name;
  std::vector<uint32_t> extents;
  std::vector<uint8_t> values;
};

Idx parse_idx(const std::string& bytes, const std::string& name, uint32_t rank) {
  const size_t header = 4 + 4 * rank;
  if (bytes.size() < header)
    fail(ErrorKind::io, "mnist", name, " has ", bytes.size(), " bytes, fewer than its header of ", header,
         ": it was cut; download it again");
  const uint32_t magic = big_endian(bytes, 0), expected = 0x800 + rank;
  if (magic != expected)
    fail(ErrorKind::io, "mnist", name, " begins with the magic number ", magic, " where ", expected,
         " was expected: it is not this IDX file; download it again");
  Idx idx{.name = name, .extents = {}, .values = {}};
  uint64_t count = 1;
  for (uint32_t d = 0; d < rank; ++d) {
    idx.extents.push_back(big_endian(bytes, 4 + 4 * d));
    count = std::min(count * idx.extents.back(), largest_file + 1);  // each factor is below 2^32: no overflow
  }
  if (bytes.size() - header != count)
    fail(ErrorKind::io, "mnist", name, " has ", bytes.size() - header, " bytes after its header, which announces ",
         count > largest_file ? "too many" : std::to_string(count), ": it was cut or damaged; download it again");
  idx.values.assign(bytes.begin() + static_cast<std::ptrdiff_t>(header), bytes.end());
  return idx;
}

Dataset join(Idx images, const Idx& labels) {
  if (images.extents[0] != labels.extents[0])
    fail(ErrorKind::io, "mnist", images.name, " has ", images.extents[0], " images, but ", labels.name, " has ",
         labels.extents[0], " labels: they do not belong together; download both again");
  if (images.extents[1] == 0 || images.extents[2] == 0)
    fail(ErrorKind::io, "mnist", images.name, " has images of ", images.extents[1], "x", images.extents[2],
         " pixels: the file is damaged; download it again");
  DatasetInfo info{
      .name = "MNIST", .channels = 1, .height = images.extents[1], .width = images.extents[2], .class_names = {}};
  for (char digit = '0'; digit <= '9'; ++digit) info.class_names.emplace_back(1, digit);
  for (size_t i = 0; i < labels.values.size(); ++i)
    if (labels.values[i] > 9)
      fail(ErrorKind::io, "mnist", labels.name, ", record ", i, ": label ", static_cast<int>(labels.values[i]),
           " is not in 0..9; the file is damaged: download it again");
  return Dataset(std::move(info), std::move(images.values),
                 std::vector<int32_t>(labels.values.begin(), labels.values.end()));
}

}  // namespace

bool is_mnist_name(std::string_view name) { return file_number(name).has_value(); }

DataSplits read_mnist(const std::string& path) {
  const FileSource source(path);
  std::array<std::optional<Idx>, 4> files;
  OnePlace place(source, "MNIST");
  source.visit([&](const std::string& name, const std::function<std::string()>& read) {
    const std::optional<size_t> number = file_number(name);
    if (!number) return true;
    place.add(name, home_of(name));
    if (files[*number]) return true;
    const std::string full = source.full_name(name);
    const bool compressed = name.ends_with(".gz");
    if (compressed && source.is_archive())
      fail(ErrorKind::io, "mnist", full, " is compressed within an archive: unpack the archive and name the folder");
    files[*number] = parse_idx(compressed ? read_gzip(full, largest_file) : read(), full, *number % 2 == 0 ? 3 : 1);
    return true;
  });
  for (size_t i = 0; i < files.size(); ++i)
    if (!files[i])
      fail(ErrorKind::io, "mnist", path, " has no ", file_names[i], " or ", file_names[i],
           ".gz: download it into this folder");
  Dataset train = join(std::move(*files[0]), *files[1]), test = join(std::move(*files[2]), *files[3]);
  if (train.image_size() != test.image_size() || train.info().height != test.info().height)
    fail(ErrorKind::io, "mnist", path, ": the images of the two splits differ in size (", train.info().height, "x",
         train.info().width, " and ", test.info().height, "x", test.info().width, "): download them again");
  return {.train = std::move(train), .test = std::move(test), .notes = {}};
}

}  // namespace gradus
