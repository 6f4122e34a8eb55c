#include "data/photo_set.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "data/cache.h"
#include "data/dataset.h"
#include "data/image_tree.h"
#include "data/md5.h"
#include "data/permutation.h"
#include "data/photo_store.h"

namespace gradus {
namespace {

/// Files of a folder, read when they are needed, or of an archive, in memory.
class FileStore : public FilePhotoStore {
 public:
  FileStore(std::shared_ptr<const FileSource> source, std::vector<ImageFile> files, std::vector<std::string> classes)
      : source_(std::move(source)), files_(std::move(files)) {
    name = title_of(*source_);
    class_names = std::move(classes);
    labels = labels_of(files_, class_names, *source_);
  }
  const std::string& short_name(int64_t index) const override { return at(index).name; }
  std::string file(int64_t index) const override { return source_->full_name(at(index).name); }
  int64_t bytes(int64_t index) const override {
    if (source_->is_archive()) return static_cast<int64_t>(at(index).bytes.size());
    std::error_code ignored;
    return static_cast<int64_t>(std::filesystem::file_size(file(index), ignored));
  }
  std::string read(int64_t index) const override {
    return source_->is_archive() ? at(index).bytes : read_file(file(index));
  }

 private:
  const ImageFile& at(int64_t index) const { return files_[static_cast<size_t>(index)]; }

  std::shared_ptr<const FileSource> source_;
  std::vector<ImageFile> files_;
};

/// Files anywhere.
class PathStore : public FilePhotoStore {
 public:
  PathStore(std::vector<std::string> paths, const std::vector<std::string>& classes) : paths_(std::move(paths)) {
    name = "files";
    class_names = classes;
    labels.resize(paths_.size());
  }
  const std::string& short_name(int64_t index) const override { return paths_[static_cast<size_t>(index)]; }
  std::string file(int64_t index) const override { return short_name(index); }
  int64_t bytes(int64_t index) const override {
    std::error_code error;
    const auto size = std::filesystem::file_size(short_name(index), error);
    if (error) fail(ErrorKind::io, "photos", "cannot read ", short_name(index), ": ", error.message());
    return static_cast<int64_t>(size);
  }
  std::string read(int64_t index) const override { return read_file(short_name(index)); }

 private:
  std::vector<std::string> paths_;
};

struct Stores {
  std::shared_ptr<const FilePhotoStore> train, test;
};

Stores list_photos(const std::string& path, std::vector<std::string>& notes) {
  const auto source = std::make_shared<const FileSource>(path);
  ImageTree tree = list_splits(*source, source->is_archive(), notes);
  std::vector<ImageFile> train = std::move(tree["train"]);
  if (train.empty()) {
    train = list_classes(*source, source->is_archive(), notes);
    tree.clear();
  }
  if (train.empty())
    fail(ErrorKind::io, "image_folder", path,
         " has no image at train/CLASS/FILE or CLASS/FILE (PNG, JPEG, BMP, PPM or PGM): make a folder per class");
  std::vector<ImageFile> test = std::move(tree[tree["test"].empty() ? "val" : "test"]);
  const std::vector<std::string> classes = class_names_of(train);
  return {std::make_shared<FileStore>(source, std::move(train), classes),
          std::make_shared<FileStore>(source, std::move(test), classes)};
}

/// The packed file of the folder, written first where it is missing; nothing, and a note, where it cannot be.
std::optional<PackedPhotos> packed(const std::string& path, const PhotoFolderOptions& options,
                                   std::vector<std::string>& notes) {
  const std::string folder = cache_folder();
  try {
    if (folder.empty()) fail(ErrorKind::io, "cache", "there is no folder for them");
    const std::string key = FileSource(path).fingerprint();
    const std::string kind = text(std::filesystem::canonical(path).string(), "\n", options.pack);
    const std::string file = folder + "/photos-" + md5_hex(bytes_of(kind)) + ".bin";
    std::vector<std::string> listed;
    if (auto found = open_packed_photos(file, key)) {
      if (!FileSource(path).is_archive()) list_photos(path, notes);  // for the notes
      return found;
    }
    const Stores stores = list_photos(path, listed);
    make_folder(folder);
    write_packed_photos(file, key, *stores.train, *stores.test, options.pack, options.progress);
    auto made = open_packed_photos(file, key);
    if (made) notes.insert(notes.end(), listed.begin(), listed.end());
    return made;
  } catch (const Error& error) {
    notes.push_back(text("the photographs could not be packed, so they are decoded in every epoch: ", error.what(),
                         "; they go to $GRADUS_CACHE, which has to have room and be writable"));
  }
  return std::nullopt;
}

}  // namespace

PicturePart FilePhotoStore::part(int64_t index, const ChooseCrop& choose, int64_t height, int64_t width) const {
  return decode_part(bytes_of(read(index)), file(index), choose, height, width);
}

PhotoSet::PhotoSet(std::shared_ptr<const PhotoStore> store) : store_(std::move(store)) {
  for (size_t i = 0; i < store_->labels.size(); ++i) chosen_.push_back(static_cast<int64_t>(i));
}

const PhotoStore& PhotoSet::store() const {
  static const PathStore none({}, {});
  return store_ ? *store_ : none;
}

const std::string& PhotoSet::name() const { return store().name; }
const std::vector<std::string>& PhotoSet::class_names() const { return store().class_names; }
int64_t PhotoSet::chosen(int64_t index) const { return chosen_[detail::checked_index(index, size(), name())]; }
int64_t PhotoSet::label(int64_t index) const { return store().labels[static_cast<size_t>(chosen(index))]; }
std::string PhotoSet::file(int64_t index) const { return store().file(chosen(index)); }
PicturePart PhotoSet::part(int64_t index, const ChooseCrop& choose, int64_t height, int64_t width) const {
  return store().part(chosen(index), choose, height, width);
}

std::string PhotoSet::checksum() const {
  Md5 md5;
  for (int64_t i : chosen_) {
    const std::string line =
        text(store().short_name(i), " ", store().bytes(i), " ", store().labels[static_cast<size_t>(i)], "\n");
    md5.update(bytes_of(line));
  }
  return md5.hex_digest();
}

PhotoSet PhotoSet::subset(const std::vector<int64_t>& indices) const {
  PhotoSet result = *this;
  result.chosen_.clear();
  for (int64_t index : indices) result.chosen_.push_back(chosen(index));
  return result;
}

PhotoSplits read_photo_folder(const std::string& path, const PhotoFolderOptions& options) {
  if (options.pack < 0)
    fail(ErrorKind::value, "image_folder", "pack ", options.pack, ": a side in pixels, or 0, was expected");
  PhotoSplits splits;
  if (options.pack > 0)
    if (const auto found = packed(path, options, splits.notes)) {
      splits.train = PhotoSet(found->train);
      splits.test = PhotoSet(found->test);
      return splits;
    }
  const Stores stores = list_photos(path, splits.notes);
  splits.train = PhotoSet(stores.train);
  splits.test = PhotoSet(stores.test);
  return splits;
}

PhotoSet photo_files(const std::vector<std::string>& paths, const std::vector<std::string>& class_names) {
  return PhotoSet(std::make_shared<const PathStore>(paths, class_names));
}

PhotoSet hold_out(PhotoSet& photos, double share, uint64_t seed) {
  if (!(share > 0 && share < 1))
    fail(ErrorKind::value, "image_folder", "a share of ", share, " was to be held out: it must lie between 0 and 1");
  std::vector<std::vector<int64_t>> members(photos.class_names().size());
  for (int64_t i = 0; i < photos.size(); ++i) members[static_cast<size_t>(photos.label(i))].push_back(i);
  std::vector<int64_t> kept, held;
  for (size_t c = 0; c < members.size(); ++c) {
    const auto count = static_cast<int64_t>(members[c].size());
    const int64_t least = count > 1 ? 1 : 0;
    const int64_t out = std::clamp(static_cast<int64_t>(std::lround(share * static_cast<double>(count))), least,
                                   std::max<int64_t>(count - 1, 0));
    const std::vector<int64_t> order = random_permutation(count, seed, c);
    for (int64_t i = 0; i < count; ++i)
      (i < out ? held : kept).push_back(members[c][static_cast<size_t>(order[static_cast<size_t>(i)])]);
  }
  std::sort(kept.begin(), kept.end());
  std::sort(held.begin(), held.end());
  PhotoSet out = photos.subset(held);
  photos = photos.subset(kept);
  return out;
}

}  // namespace gradus
