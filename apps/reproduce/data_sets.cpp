#include "apps/reproduce/data_sets.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "core/error.h"
#include "core/joined.h"
#include "core/parallel.h"
#include "data/cache.h"
#include "data/cifar10.h"
#include "data/file_source.h"
#include "data/image_folder.h"
#include "data/locate.h"
#include "data/mnist.h"
#include "data/photo_source.h"
#include "data/whitening.h"

namespace gradus::reproduce {
namespace {

namespace fs = std::filesystem;

bool is_archive(const std::string& path) {
  for (const char* ending : {".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip"})
    if (path.ends_with(ending)) return true;
  return false;
}

// train/CLASS/FILE or val/CLASS/FILE: the folder that the file lies in, as far as it matters here.
bool is_cifar10_picture(const std::string& name) {
  if (!is_image_folder_name(name)) return false;
  const auto& classes = cifar10_classes();
  return std::any_of(classes.begin(), classes.end(),
                     [&](const std::string& c) { return name.find("/" + c + "/") != std::string::npos; });
}

// train/n01440764/FILE or val/...: ImageNet's classes are numbers of WordNet.
bool is_imagenet_picture(const std::string& name) {
  if (!is_image_folder_name(name)) return false;
  const size_t at = name.find("/n");
  return at != name.npos && name.size() > at + 10 && name[at + 10] == '/' &&
         std::all_of(name.begin() + static_cast<std::ptrdiff_t>(at) + 2,
                     name.begin() + static_cast<std::ptrdiff_t>(at) + 10, [](char c) { return c >= '0' && c <= '9'; });
}

// Told by the names of its files alone, so that nothing large is read in vain. A data set of another kind may lie in
// the same folder: it does not end the search. In an archive the first file that is known decides.
bool holds(Images images, const std::string& path) {
  bool found = false;
  const FileSource source(path);
  source.visit([&](const std::string& name, const auto&) {
    const bool mnist = is_mnist_name(name), cifar10 = is_cifar10_name(name) || is_cifar10_picture(name);
    found = images == Images::mnist ? mnist : images == Images::cifar10 ? cifar10 : is_imagenet_picture(name);
    return !found && !(source.is_archive() && (mnist || cifar10 || is_image_folder_name(name)));
  });
  return found;
}

// The path itself after what lies in it: a folder of data sets holds each of them, but is none.
std::vector<std::string> candidates(const std::string& path) {
  std::vector<std::string> inside;
  if (fs::is_directory(path)) {
    for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
      const std::string name = entry.path().filename().string();
      if (name[0] != '.' && (entry.is_directory() || is_archive(name))) inside.push_back(entry.path().string());
    }
    std::sort(inside.begin(), inside.end());
  }
  inside.push_back(path);
  return inside;
}

std::optional<std::string> locate(Images images, const std::vector<std::string>& places) {
  for (const std::string& place : places)
    for (const std::string& candidate : candidates(place))
      if (holds(images, candidate)) return candidate;
  return std::nullopt;
}

// Where to look, those that the user named first.
std::vector<std::string> places_of(const std::vector<std::string>& paths) {
  std::vector<std::string> places = paths;
  for (const std::string& path : paths)
    if (!fs::exists(path)) fail(ErrorKind::io, "data", path, " does not exist");
  if (const char* variable = std::getenv("GRADUS_DATA"); variable && fs::exists(variable)) places.push_back(variable);
  if (const std::string cache = cache_folder(); fs::is_directory(cache)) places.push_back(cache);
  return places;
}

Error not_found(Images images, const std::vector<std::string>& places) {
  const char* const name = images == Images::mnist ? "MNIST" : images == Images::cifar10 ? "CIFAR-10" : "ImageNet";
  const char* const what =
      images == Images::mnist     ? "a folder with train-images-idx3-ubyte.gz and the other three files"
      : images == Images::cifar10 ? "cifar-10-batches-bin or an archive of it; apps/run cifar10_train downloads it"
                                  : "a folder or an archive with train/n01440764/ and so on, and val/";
  return Error(
      ErrorKind::io,
      text("[data] ", name, " is not in ", places.empty() ? "$GRADUS_DATA or the cache folder" : joined(places),
           ": name its place with --data PATH (", what, "), or take --scale smoke, which does without"));
}

// Gray 28 x 28 middles of the synthetic 32 x 32 pictures: MNIST's shape.
Dataset as_small_gray(const Dataset& color) {
  constexpr int64_t side = 28, margin = 2, whole = 32;
  DatasetInfo info = color.info();
  info.name += ", grey 28x28";
  info.channels = 1;
  info.height = info.width = side;
  std::vector<uint8_t> pixels;
  for (int64_t i = 0; i < color.size(); ++i) {
    const auto image = color.image(i);
    for (int64_t y = margin; y < margin + side; ++y)
      for (int64_t x = margin; x < margin + side; ++x) {
        const auto at = static_cast<size_t>(3 * (y * whole + x));
        pixels.push_back(static_cast<uint8_t>((image[at] + image[at + 1] + image[at + 2]) / 3));
      }
  }
  return Dataset(info, std::move(pixels), {color.labels().begin(), color.labels().end()});
}

DataSplits procedural(Images images) {
  DataSplits data = make_synthetic({.train = 600, .test = 200});
  if (images == Images::mnist) data = {as_small_gray(data.train), as_small_gray(data.test), {}};
  return data;
}

constexpr int64_t evaluation_batch = 200;

/// As many images of every class as make `count`.
Dataset subset(const Dataset& all, int64_t count) {
  return count == all.size() ? all : all.class_balanced_subset(count);
}

/// The images that a subset of `count` has beyond one of `without`, which lies within it, in the same order.
Dataset beyond(const Dataset& all, int64_t without, int64_t count) {
  const Dataset whole = subset(all, count), part = subset(all, without);
  std::vector<uint8_t> pixels;
  std::vector<int32_t> labels;
  for (int64_t i = 0, passed = 0; i < whole.size(); ++i) {
    const auto one = whole.image(i);
    if (passed < part.size() && std::equal(one.begin(), one.end(), part.image(passed).begin())) {
      ++passed;
      continue;
    }
    pixels.insert(pixels.end(), one.begin(), one.end());
    labels.push_back(static_cast<int32_t>(whole.label(i)));
  }
  return Dataset(all.info(), std::move(pixels), std::move(labels));
}

ImageData in_memory(const DataSplits& data) {
  const Normalization normalization = channel_statistics(data.train);
  const auto whitening = std::make_shared<std::optional<Whitening>>();  // half a minute's work, for who wants it
  return {
      .name = data.train.name(),
      .record = {{"data", data.train.name()}, {"train_md5", data.train.checksum()}, {"test_md5", data.test.checksum()}},
      .train_images = data.train.size(),
      .test_images = data.test.size(),
      .splits = data,
      .notes = data.notes,
      .loader = [=](const Run& run, bool training) {
        if (run.whiten && !*whitening) whitening->emplace(data.train);
        const Dataset images = training ? subset(data.train, run.train_samples)
                               : run.held_out
                                   ? beyond(data.train, run.train_samples, run.train_samples + run.test_samples)
                                   : subset(data.test, run.test_samples);
        return Loader(images, {.batch = training ? run.flags.batch : evaluation_batch,
                               .seed = training ? run.flags.seed : 0,
                               .shuffle = training,
                               .augment = training && run.augment ? Augment::standard : Augment::none,
                               .workers = 1,
                               .normalization = run.whiten ? Normalization() : normalization,
                               .batch_transform = run.whiten ? **whitening : BatchTransform()});
      }};
}

/// As many photographs of every class as make `count`, those of each class by name.
PhotoSet evenly(const PhotoSet& photos, int64_t count) {
  if (count >= photos.size()) return photos;
  std::vector<int64_t> chosen;
  for (int64_t most = 1; static_cast<int64_t>(chosen.size()) < count; ++most)
    for (int64_t i = 0, last = -1, seen = 0; i < photos.size(); ++i) {
      seen = photos.label(i) == last ? seen + 1 : 1;
      last = photos.label(i);
      if (seen == most && static_cast<int64_t>(chosen.size()) < count) chosen.push_back(i);
    }
  std::sort(chosen.begin(), chosen.end());
  return photos.subset(chosen);
}

ImageData photographs(PhotoSplits data) {
  if (data.test.size() == 0) {
    data.notes.push_back(data.train.name() + " has no val or test folder: testing with the training photographs");
    data.test = data.train;
  }
  return {.name = data.train.name(),
          // The name is the folder's, which may be moved.
          .record = {{"data", "photographs"}, {"train_md5", data.train.checksum()}, {"test_md5", data.test.checksum()}},
          .train_images = data.train.size(),
          .test_images = data.test.size(),
          .splits = {},
          .notes = data.notes,
          .loader = [data](const Run& run, bool training) {
            const PhotoSet photos =
                training ? evenly(data.train, run.train_samples) : evenly(data.test, run.test_samples);
            const PhotoOptions options{.size = run.image_size, .augment = training};
            return Loader(std::make_shared<PhotoSource>(photos, options),
                          {.batch = training ? run.flags.batch : evaluation_batch,
                           .seed = training ? run.flags.seed : 0,
                           .shuffle = training,
                           .workers = std::max(1, num_threads() / 2)});
          }};
}

}  // namespace

std::string missing_images(Images images, const std::vector<std::string>& paths, bool substitute) {
  if (images == Images::none || substitute) return "";
  const std::vector<std::string> places = places_of(paths);
  return locate(images, places) ? "" : not_found(images, places).what();
}

ImageData find_images(Images images, const std::vector<std::string>& paths, bool substitute) {
  const std::vector<std::string> places = places_of(paths);
  if (const auto path = locate(images, places))
    return images == Images::imagenet ? photographs(read_photo_folder(*path)) : in_memory(open_dataset(*path));
  if (substitute) return in_memory(procedural(images));
  throw not_found(images, places);
}

}  // namespace gradus::reproduce
