// A labeled image data set in memory, whatever it was read from.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace gradus {

/// What all images of a data set have in common.
struct DatasetInfo {
  std::string name;  ///< for titles, such as "CIFAR-10 (JPEG q75)"
  int64_t channels = 0, height = 0, width = 0;
  std::vector<std::string> class_names;
};

namespace detail {
/// The index. Throws ErrorKind::value where it is not that of one of `size` images of the data set of that name.
size_t checked_index(int64_t index, int64_t size, const std::string& name);
}  // namespace detail

/// Images of one size, each with a label. Copies share the memory, which never changes.
class Dataset {
 public:
  Dataset() = default;
  /// `pixels` holds the images one after another, each [height, width, channels]; `labels` one class per image. Throws
  /// ErrorKind::shape where their sizes disagree or an extent is below 1, ErrorKind::value for a label that is not
  /// below the number of classes.
  Dataset(DatasetInfo info, std::vector<uint8_t> pixels, std::vector<int32_t> labels);

  const DatasetInfo& info() const;
  const std::string& name() const { return info().name; }
  int64_t num_classes() const { return static_cast<int64_t>(info().class_names.size()); }
  /// Number of images.
  int64_t size() const { return static_cast<int64_t>(labels().size()); }
  /// channels * height * width.
  int64_t image_size() const { return info().channels * info().height * info().width; }

  /// All images, [size, height, width, channels].
  std::span<const uint8_t> pixels() const;
  std::span<const int32_t> labels() const;
  /// One image, [height, width, channels], and its class. They throw ErrorKind::value where index is not in
  /// 0..size() - 1.
  std::span<const uint8_t> image(int64_t index) const;
  int64_t label(int64_t index) const { return labels()[detail::checked_index(index, size(), name())]; }

  /// MD5 of the sizes, the pixels and the labels: equal data give equal checksums, however they were stored.
  std::string checksum() const;

  /// `count` images, equally many of each class as far as there are enough, in the order of this data set. The choice
  /// is random but depends on nothing else: the same in every run, and a smaller subset lies within every larger one.
  /// Throws ErrorKind::value where count is not in 1..size().
  Dataset class_balanced_subset(int64_t count) const;

 private:
  struct Content;
  const Content& content() const;
  std::shared_ptr<const Content> content_;
};

/// What the readers return.
struct DataSplits {
  Dataset train, test;
  std::vector<std::string> notes;  ///< what the user should be told, a line each: a cache that could not be written
};

}  // namespace gradus
