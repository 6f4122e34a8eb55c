// From stored bytes to network inputs: standardization and augmentation, image by image.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/crop.h"
#include "data/dataset.h"

namespace gradus {

enum class Augment {
  none,
  standard,  ///< 4 black pixels on every side, a random crop of the old size, a horizontal flip with probability 1/2
};

/// Per channel, of pixels scaled to [0, 1]. Empty vectors stand for 0 and 1: no more than the scaling.
struct Normalization {
  std::vector<double> mean = {}, std = {};
};

/// Mean and (population) standard deviation of every channel over all pixels, from exact integer sums. A constant
/// channel has standard deviation 1, so that it becomes 0.
Normalization channel_statistics(const Dataset& dataset);

/// Turns stored images into float32 images. A pure function of image and key.
class ImageTransform {
 public:
  /// Throws ErrorKind::value where the normalization is not for that many channels or a standard deviation is not
  /// positive.
  ImageTransform(const DatasetInfo& info, const Normalization& normalization, Augment augment);

  /// Writes (pixel / 255 - mean) / std of the image, augmented, to `out`; both [height, width, channels].
  void apply(std::span<const uint8_t> image, const RandomKey& key, float* out) const;

  /// What it is made of, for devices that do the same: [channels, 256], what each byte becomes, and how many pixels
  /// RandomCrop pads an image by.
  std::span<const float> table() const { return table_; }
  int64_t padding() const { return padding_; }

 private:
  int64_t height_, width_, channels_, padding_;
  std::vector<float> table_;  // [channels, 256]: what each byte becomes
};

}  // namespace gradus
