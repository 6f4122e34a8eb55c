#include "data/locate.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string_view>

#include "core/error.h"
#include "data/cache.h"
#include "data/cifar10.h"
#include "data/file_source.h"
#include "data/image_folder.h"
#include "data/mnist.h"

namespace gradus {
namespace {

namespace fs = std::filesystem;

constexpr const char* cifar10_archive = "cifar-10-binary.tar.gz";
constexpr int64_t cifar10_archive_size = 170052171;
constexpr const char* cifar10_archive_md5 = "c32a1d4ab5d03f1284b67883e8d87530";

using DatasetReader = DataSplits (*)(const std::string& path);

/// By the first file whose name says what it belongs to; nullptr where there is none.
DatasetReader reader_for(const std::string& path) {
  DatasetReader reader = nullptr;
  FileSource(path).visit([&](const std::string& name, const auto&) {
    if (is_cifar10_name(name))
      reader = read_cifar10;
    else if (is_mnist_name(name))
      reader = read_mnist;
    else if (is_image_folder_name(name))
      reader = [](const std::string& folder) { return read_image_folder(folder); };
    return reader == nullptr;
  });
  return reader;
}

DataSplits open_path(const std::string& path) {
  if (const DatasetReader reader = reader_for(path)) return reader(path);
  fail(
      ErrorKind::io, "data", path,
      " holds no data set: expected CIFAR-10's data_batch_1.bin ..., MNIST's train-images-idx3-ubyte ..., or images at "
      "train/CLASS/FILE");
}

bool begins_like_cifar10(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name.starts_with("cifar10") || name.starts_with("cifar-10");
}

/// A data set in `folder` that is named like CIFAR-10: the binary version first, then by name.
std::optional<std::string> find_cifar10(const std::string& folder) {
  std::error_code ignored;
  for (const char* name : {"cifar-10-batches-bin", cifar10_archive})
    if (const fs::path path = fs::path(folder) / name; fs::exists(path, ignored)) return path.string();
  std::vector<std::string> candidates;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    const bool archive =
        name.ends_with(".tar") || name.ends_with(".tar.gz") || name.ends_with(".tgz") || name.ends_with(".zip");
    if (begins_like_cifar10(name) && (archive || entry.is_directory(ignored)))
      candidates.push_back(entry.path().string());
  }
  std::sort(candidates.begin(), candidates.end());
  for (const std::string& path : candidates)
    if (reader_for(path)) return path;
  return std::nullopt;
}

DataSplits open_auto(const OpenOptions& options) {
  const char* variable = std::getenv("GRADUS_DATA");
  const std::string chosen = variable ? variable : "", cache = cache_folder();
  std::string looked_in = chosen.empty() ? "$GRADUS_DATA (not set)" : "$GRADUS_DATA (" + chosen + ")";
  if (!chosen.empty()) {
    if (const auto path = find_cifar10(chosen)) return open_path(*path);
    std::error_code ignored;
    if (const DatasetReader reader = fs::exists(chosen, ignored) ? reader_for(chosen) : nullptr;
        reader && reader != read_mnist)
      return reader(chosen);
  }
  if (!cache.empty()) {
    looked_in += " nor in " + cache;
    if (const auto path = find_cifar10(cache)) return open_path(*path);
  }
  if (!options.download && options.synthetic_if_absent) return make_synthetic(options.synthetic);
  constexpr const char* remedy =
      " to go on, load it by other means and name it with --data PATH, or take --data synthetic, which needs no file";
  std::string reason = "downloading was not asked for;";
  if (options.download && cache.empty()) {
    reason = "there is no folder to download it to (set GRADUS_CACHE, XDG_CACHE_HOME or HOME);";
  } else if (options.download) {
    const std::string path = cache + "/" + cifar10_archive;
    try {
      download_file({.urls = options.urls,
                     .path = path,
                     .size = cifar10_archive_size,
                     .md5 = cifar10_archive_md5,
                     .progress = options.progress});
      return read_cifar10(path);
    } catch (const Error& error) {
      reason = text("the download failed: ", error.what(), ";");
    }
  }
  fail(ErrorKind::io, "data", "CIFAR-10 is neither in ", looked_in, ", and ", reason, remedy);
}

}  // namespace

DataSplits open_dataset(const std::string& spec, const OpenOptions& options) {
  if (spec == "synthetic") return make_synthetic(options.synthetic);
  if (spec == "auto") return open_auto(options);
  return open_path(spec);
}

}  // namespace gradus
