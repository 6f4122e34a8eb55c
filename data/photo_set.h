// Photographs of any size, each with a label: read and decoded when they are needed, from a folder, an archive, or a
// file in which they lie packed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/decode_part.h"

namespace gradus {

class PhotoStore;

/// Some of the photographs of a store. Copies share it. What takes an index throws ErrorKind::value where it is not in
/// 0..size() - 1.
class PhotoSet {
 public:
  PhotoSet() = default;
  explicit PhotoSet(std::shared_ptr<const PhotoStore> store);

  const std::string& name() const;
  const std::vector<std::string>& class_names() const;
  int64_t size() const { return static_cast<int64_t>(chosen_.size()); }
  int64_t label(int64_t index) const;
  /// A photograph's name in messages.
  std::string file(int64_t index) const;
  /// decode_part() of a photograph, on any thread. Throws ErrorKind::io naming a file that is missing or damaged.
  PicturePart part(int64_t index, const ChooseCrop& choose, int64_t height, int64_t width) const;
  /// MD5 of names, sizes in bytes, and labels: not of the bytes themselves, which may be many.
  std::string checksum() const;

  /// The photographs with these numbers.
  PhotoSet subset(const std::vector<int64_t>& indices) const;

 private:
  const PhotoStore& store() const;
  /// Its number in the store.
  int64_t chosen(int64_t index) const;

  std::shared_ptr<const PhotoStore> store_;
  std::vector<int64_t> chosen_;
};

struct PhotoSplits {
  PhotoSet train, test;
  std::vector<std::string> notes;  ///< what the user should be told, a line each
};

struct PhotoFolderOptions {
  /// Keep every photograph decoded, its shorter side resized to this unless it is shorter, in one file in
  /// cache_folder(), and read them from there: faster from the second epoch on, for 3 bytes per pixel. 0: decode anew.
  int64_t pack = 0;
  /// Called while packing, on the calling thread.
  std::function<void(int64_t done, int64_t total)> progress = {};
};

/// train/CLASS/... with test/CLASS/... or val/CLASS/..., or CLASS/... alone (all of it is train then), in a folder or
/// an archive, at its top or one folder below. The classes are the sorted folder names of train. Only names are read;
/// the files of an archive are kept in memory, compressed as they are. Throws ErrorKind::io where there are none, or a
/// class of the test split is not in train.
PhotoSplits read_photo_folder(const std::string& path, const PhotoFolderOptions& options = {});

/// Files by their paths, all with label 0: for predictions.
PhotoSet photo_files(const std::vector<std::string>& paths, const std::vector<std::string>& class_names);

/// Moves a random `share` of every class (at least one, where it has two) from `photos` to a second set. The choice
/// depends on the seed and the class's size alone. Throws ErrorKind::value where the share is not in (0, 1).
PhotoSet hold_out(PhotoSet& photos, double share, uint64_t seed = 0);

}  // namespace gradus
