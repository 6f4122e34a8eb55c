#include "data/image_folder.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/parallel.h"
#include "data/cache.h"
#include "data/cifar10.h"
#include "data/file_source.h"
#include "data/image.h"
#include "data/image_tree.h"
#include "data/md5.h"

namespace gradus {
namespace {

/// The middle square of side `side`, after the shorter side was resized to it.
Image middle_square(const Image& image, int64_t side) {
  const int64_t shorter = std::min(image.height, image.width);
  const auto scaled = [&](int64_t extent) { return std::max(side, (extent * side + shorter / 2) / shorter); };
  const Image resized = resize_image(image, scaled(image.height), scaled(image.width));
  const int64_t top = (resized.height - side) / 2, left = (resized.width - side) / 2, row = side * image.channels;
  Image out{.height = side, .width = side, .channels = image.channels, .pixels = {}};
  for (int64_t y = 0; y < side; ++y) {
    const uint8_t* from = resized.pixels.data() + ((top + y) * resized.width + left) * image.channels;
    out.pixels.insert(out.pixels.end(), from, from + row);
  }
  return out;
}

Image load(const ImageFile& file, const FileSource& source, const ImageFolderOptions& options) {
  const Image image = decode_image(bytes_of(file.bytes), source.full_name(file.name), options.channels);
  return options.side > 0 ? middle_square(image, options.side) : image;
}

void require_alike(const Image& image, const std::string& name, const DatasetInfo& info, const std::string& first) {
  if (image.channels != info.channels)
    fail(ErrorKind::io, "image_folder", name, " has ", image.channels, " channels, but ", first, " has ", info.channels,
         ": convert or remove one of them");
  if (image.height != info.height || image.width != info.width)
    fail(ErrorKind::io, "image_folder", name, " is ", image.height, "x", image.width, ", but ", first, " is ",
         info.height, "x", info.width, ": resize or remove one of them");
}

Dataset decode_split(const std::vector<ImageFile>& files, const FileSource& source, const ImageFolderOptions& options,
                     const DatasetInfo& info, const std::string& first) {
  std::vector<int32_t> labels = labels_of(files, info.class_names, source);
  const int64_t size = info.channels * info.height * info.width;
  std::vector<uint8_t> pixels(files.size() * static_cast<size_t>(size));
  parallel_for(static_cast<int64_t>(files.size()), 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const ImageFile& file = files[static_cast<size_t>(i)];
      const Image image = load(file, source, options);
      require_alike(image, source.full_name(file.name), info, first);
      std::copy(image.pixels.begin(), image.pixels.end(), pixels.begin() + i * size);
    }
  });
  return Dataset(info, std::move(pixels), std::move(labels));
}

std::string name_for(const FileSource& source, const DatasetInfo& info, const ImageFile& first) {
  if (info.class_names != cifar10_classes() || info.height != 32 || info.width != 32 || info.channels != 3)
    return title_of(source);
  if (const std::optional<int> quality = jpeg_quality(bytes_of(first.bytes)))
    return text("CIFAR-10 (JPEG q", *quality, ")");
  return std::string_view(first.bytes).starts_with("\xff\xd8") ? "CIFAR-10 (JPEG)" : "CIFAR-10 (image files)";
}

DataSplits decode(const FileSource& source, const ImageFolderOptions& options) {
  std::vector<std::string> notes;
  ImageTree files = list_splits(source, true, notes);
  const std::vector<ImageFile>& train = files["train"];
  const std::vector<ImageFile>& test = files[files["test"].empty() ? "val" : "test"];
  if (train.empty())
    fail(ErrorKind::io, "image_folder", source.path(),
         " has no image at train/CLASS/FILE (PNG, JPEG, BMP, PPM or PGM): make a folder per class under train");
  const ImageFile& first = train.front();
  const Image image = load(first, source, options);
  if (image.channels != 1 && image.channels != 3)
    fail(ErrorKind::io, "image_folder", source.full_name(first.name), " has ", image.channels,
         " channels where 1 (gray) or 3 (RGB) were expected: save it without transparency");
  DatasetInfo info{.name = {},
                   .channels = image.channels,
                   .height = image.height,
                   .width = image.width,
                   .class_names = class_names_of(train)};
  info.name = name_for(source, info, first);
  const std::string first_name = source.full_name(first.name);
  return {.train = decode_split(train, source, options, info, first_name),
          .test = decode_split(test, source, options, info, first_name),
          .notes = std::move(notes)};
}

}  // namespace

bool is_image_folder_name(const std::string& name) {
  return (is_image_name(name) || is_unread_image_name(name)) && is_in_split(name);
}

DataSplits read_image_folder(const std::string& path, const ImageFolderOptions& options) {
  if ((options.channels != 0 && options.channels != 1 && options.channels != 3) || options.side < 0)
    fail(ErrorKind::value, "image_folder", "channels ", options.channels, " and side ", options.side,
         " were asked for: channels must be 0, 1 or 3, and side 0 or more");
  const FileSource source(path);
  const std::string folder = options.cache ? cache_folder() : std::string();
  if (folder.empty()) return decode(source, options);

  const std::string kind = text(std::filesystem::canonical(path).string(), "\n", options.channels, " ", options.side);
  const std::string packed = folder + "/image-folder-" + md5_hex(bytes_of(kind)) + ".bin";
  const std::string key = source.fingerprint();
  if (std::optional<DataSplits> splits = read_packed(packed, key)) {
    if (!source.is_archive()) list_splits(source, false, splits->notes);  // for the notes
    return *std::move(splits);
  }
  DataSplits splits = decode(source, options);
  try {
    write_packed(packed, key, splits);
  } catch (const Error& error) {
    splits.notes.push_back(text("the decoded images could not be kept, so the next start decodes them again: ",
                                error.what(), "; set GRADUS_CACHE to a folder that can be written"));
  }
  return splits;
}

}  // namespace gradus
