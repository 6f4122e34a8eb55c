// Decoding no more of a photograph than is needed: the part that a crop shows, at no more than the resolution it is
// shown at.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "data/image.h"
#include "data/resample.h"

namespace gradus {

/// What is wanted of a picture: a box, and how many pixels around it the filter may look at too.
struct Crop {
  Box box;
  double margin = 0;
};
/// Chooses when the picture's size is known.
using ChooseCrop = std::function<Crop(int64_t height, int64_t width)>;

/// The whole pixels of a picture that a crop needs, and the crop's box relative to them.
struct Region {
  int64_t top = 0, left = 0, height = 0, width = 0;
  Box box;
};
/// For a picture of height x width pixels that is decoded at 1 / `shrink` of its resolution.
Region region_of(const Crop& crop, int64_t height, int64_t width, int64_t shrink = 1);

/// A decoded picture, or part of one, and the region in it.
struct PicturePart {
  Image image;
  Region region;

  PixelView view() const {
    const int64_t stride = image.width * image.channels;
    return {image.pixels.data() + region.top * stride + region.left * image.channels, region.height, region.width,
            image.channels, stride};
  }
};

/// The chosen crop of a PNG, JPEG, BMP or PPM/PGM file as RGB, for being shown on height x width pixels: a JPEG is
/// decoded at a half, a quarter or an eighth of its resolution where that still gives each of them one of its own (with
/// libjpeg, -Djpeg, only). Gray becomes RGB, CMYK is converted, transparency is dropped. `name` is the file in
/// messages. Throws ErrorKind::io where the file is damaged; damage below the crop may go unnoticed.
PicturePart decode_part(std::span<const uint8_t> bytes, std::string_view name, const ChooseCrop& choose, int64_t height,
                        int64_t width);

}  // namespace gradus
