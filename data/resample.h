// Resizing: bilinear with antialiasing, as Pillow and torchvision compute it.
#pragma once

#include <cstdint>

namespace gradus {

/// A rectangle in the pixels of a picture, also between them: pixel (y, x) is the square from there to (y + 1, x + 1).
struct Box {
  double top = 0, left = 0, height = 0, width = 0;
};

/// Bytes [height, width, channels] somewhere in memory, rows `stride` bytes apart.
struct PixelView {
  const uint8_t* pixels;
  int64_t height, width, channels, stride;
};

/// Writes [height, width, channels] floats from 0 to 255: `box` of the view, resized. Every result is the mean of the
/// pixels around its center, weighted by a triangle of half a width of one target pixel, or of one source pixel where
/// the picture grows; it may look beyond the box, but not beyond the view. `mirror` exchanges left and right.
void resample(const PixelView& view, const Box& box, int64_t height, int64_t width, bool mirror, float* out);

}  // namespace gradus
