// Where photographs lie. Internal to data.
#pragma once

#include <functional>
#include <optional>

#include "data/photo_set.h"

namespace gradus {

class PhotoStore {
 public:
  std::string name;
  std::vector<std::string> class_names;
  std::vector<int32_t> labels;

  PhotoStore() = default;
  PhotoStore(const PhotoStore&) = delete;
  PhotoStore& operator=(const PhotoStore&) = delete;
  virtual ~PhotoStore() = default;
  /// Relative to the whole.
  virtual const std::string& short_name(int64_t index) const = 0;
  /// In messages.
  virtual std::string file(int64_t index) const = 0;
  /// Of the file, or of what was the file.
  virtual int64_t bytes(int64_t index) const = 0;
  virtual PicturePart part(int64_t index, const ChooseCrop& choose, int64_t height, int64_t width) const = 0;
};

/// Photographs in the files that they came in.
class FilePhotoStore : public PhotoStore {
 public:
  /// The bytes of a file. Throws ErrorKind::io where it cannot be read.
  virtual std::string read(int64_t index) const = 0;
  PicturePart part(int64_t index, const ChooseCrop& choose, int64_t height, int64_t width) const final;
};

/// The photographs of both splits in a packed file. `key` says what they were made of.
struct PackedPhotos {
  std::shared_ptr<const PhotoStore> train, test;
};
/// Nothing where there is no such file, or it has another key or a damaged index.
std::optional<PackedPhotos> open_packed_photos(const std::string& path, const std::string& key);
/// Replaces the file completely or not at all. A photograph that does not decode is kept as such, with the message of
/// its error, and throws when it is asked for. Throws ErrorKind::io, also where a photograph cannot be read, which may
/// pass.
void write_packed_photos(const std::string& path, const std::string& key, const FilePhotoStore& train,
                         const FilePhotoStore& test, int64_t side,
                         const std::function<void(int64_t done, int64_t total)>& progress);

}  // namespace gradus
