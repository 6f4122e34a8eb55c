// From photographs to network inputs: crops, flips, colors, standardization. With Loader:
//   Loader(std::make_shared<PhotoSource>(photos, PhotoOptions{.size = 224, .augment = true}), {.batch = 256})
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "data/loader.h"
#include "data/photo_set.h"

namespace gradus {

/// How far each property may be moved, as torchvision's ColorJitter: factors from [max(0, 1 - x), 1 + x], a shift of
/// the hue from [-hue, hue] turns (at most 0.5), in random order.
struct ColorJitter {
  double brightness = 0, contrast = 0, saturation = 0, hue = 0;
};

/// Mean and standard deviation of ImageNet's training images.
Normalization imagenet_normalization();

struct PhotoOptions {
  int64_t size = 224;  ///< side of the square images
  /// A random part of the picture (area 8 to 100 % of it, sides 3:4 to 4:3), resized, and mirrored with probability
  /// 1/2; without, the middle square of shown * the shorter side.
  bool augment = false;
  double least_area = 0.08;
  double shown = 0.875;
  ColorJitter jitter = {};  ///< with augment
  Normalization normalization = imagenet_normalization();
  /// Told the message of every photograph that does not decode, once, on any thread; such a one is left out of its
  /// batches. Where empty, the loader throws the message.
  std::function<void(const std::string& message)> on_damaged = {};
};

/// Makes [size, size, 3] images, by the same rules as torchvision's RandomResizedCrop, or Resize and CenterCrop, and
/// ToTensor and Normalize; see decode_part() for where pixels differ in the last digits.
class PhotoSource : public ImageSource {
 public:
  /// Throws ErrorKind::value for a size below 1 and for options outside their ranges.
  PhotoSource(PhotoSet photos, const PhotoOptions& options);
  ~PhotoSource() override;
  const DatasetInfo& info() const override;
  int64_t size() const override;
  int64_t label(int64_t index) const override;
  bool make(int64_t index, const RandomKey& key, float* out) const override;

  const PhotoSet& photos() const;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace gradus
