#include "data/locate.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <set>
#include <string_view>

#include "core/error.h"
#include "core/joined.h"
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

/// A kind of data set, and a file whose name says that it is of it.
struct Found {
  const char* kind;
  DataSplits (*read)(const std::string& path);
  std::string file;
};

std::optional<Found> kind_of(const std::string& file) {
  if (is_cifar10_name(file)) return Found{"CIFAR-10", read_cifar10, file};
  if (is_mnist_name(file)) return Found{"MNIST", read_mnist, file};
  if (is_image_folder_name(file))
    return Found{"pictures", [](const std::string& folder) { return read_image_folder(folder); }, file};
  return std::nullopt;
}

/// The kinds in a folder, by the first file of each; of an archive, which would have to be unpacked, the first kind.
std::vector<Found> kinds_in(const std::string& path) {
  const FileSource source(path);
  std::vector<Found> kinds;
  source.visit([&](const std::string& name, const auto&) {
    std::optional<Found> kind = kind_of(name);
    if (kind && std::none_of(kinds.begin(), kinds.end(), [&](const Found& other) { return other.read == kind->read; }))
      kinds.push_back(*std::move(kind));
    return kinds.empty() || !source.is_archive();
  });
  return kinds;
}

DataSplits open_path(const std::string& path) {
  const std::vector<Found> kinds = kinds_in(path);
  if (kinds.size() > 1)
    fail(ErrorKind::io, "data", path, " holds several data sets: ",
         joined(kinds, [](const Found& found) { return text(found.kind, " (", found.file, ")"); }),
         "; name the folder or archive of one, or keep them in folders apart");
  if (kinds.size() == 1) return kinds[0].read(path);
  fail(
      ErrorKind::io, "data", path,
      " holds no data set: expected CIFAR-10's data_batch_1.bin ..., MNIST's train-images-idx3-ubyte ..., or images at "
      "train/CLASS/FILE");
}

/// "CIFAR-10" or "cifar10" and more, but no further digit: CIFAR-100 is another data set.
bool begins_like_cifar10(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  for (std::string_view prefix : {"cifar10", "cifar-10"})
    if (name.starts_with(prefix))
      return name.size() == prefix.size() || !std::isdigit(static_cast<unsigned char>(name[prefix.size()]));
  return false;
}

/// The data set in `folder` that is named like CIFAR-10: the binary version first, then by name. One that cannot be
/// read is passed over, which a note of the next one says; where there is no other, it is the error.
std::optional<DataSplits> open_cifar10(const std::string& folder) {
  std::error_code ignored;
  std::vector<std::string> candidates;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    const bool archive =
        name.ends_with(".tar") || name.ends_with(".tar.gz") || name.ends_with(".tgz") || name.ends_with(".zip");
    if (begins_like_cifar10(name) && (archive || entry.is_directory(ignored)))
      candidates.push_back(entry.path().string());
  }
  std::sort(candidates.begin(), candidates.end());
  std::set<std::string> binary;
  for (const char* name : {cifar10_archive, "cifar-10-batches-bin"})
    if (const fs::path path = fs::path(folder) / name; fs::exists(path, ignored)) {
      binary.insert(path.string());
      std::erase(candidates, path.string());
      candidates.insert(candidates.begin(), path.string());
    }
  std::vector<Error> damaged;
  for (const std::string& path : candidates) {
    try {
      if (!binary.contains(path) && kinds_in(path).empty()) continue;  // only the name is like it
      DataSplits data = open_path(path);
      for (const Error& error : damaged) data.notes.push_back(text("passes over what cannot be read: ", error.what()));
      return data;
    } catch (const Error& error) {
      damaged.push_back(error);
    }
  }
  if (!damaged.empty()) throw damaged.front();
  return std::nullopt;
}

DataSplits open_auto(const OpenOptions& options) {
  const char* variable = std::getenv("GRADUS_DATA");
  const std::string chosen = variable ? variable : "", cache = cache_folder();
  std::string looked_in = chosen.empty() ? "$GRADUS_DATA (not set)" : "$GRADUS_DATA (" + chosen + ")";
  if (!chosen.empty()) {
    if (auto data = open_cifar10(chosen)) return *std::move(data);
    std::error_code ignored;
    std::vector<Found> kinds = fs::exists(chosen, ignored) ? kinds_in(chosen) : std::vector<Found>();
    std::erase_if(kinds, [](const Found& found) { return found.read == read_mnist; });
    if (kinds.size() > 1) return open_path(chosen);  // throws
    if (kinds.size() == 1) return kinds[0].read(chosen);
  }
  if (!cache.empty()) {
    looked_in += " nor in " + cache;
    if (auto data = open_cifar10(cache)) return *std::move(data);
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
