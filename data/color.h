// Changing the colors of an image at random. Internal to data.
#pragma once

#include <cstdint>

#include "core/random.h"
#include "data/photo_source.h"

namespace gradus {

/// Of [pixels, 3] RGB values from 0 to 255, in place.
void jitter_colors(float* rgb, int64_t pixels, const ColorJitter& jitter, Generator& random);

/// The single changes, each clamped to 0 to 255: towards black, towards the mean of the gray image, towards the gray
/// image (factors above 1 go away from it), and around the circle of hues by a part of a turn.
void change_brightness(float* rgb, int64_t pixels, float factor);
void change_contrast(float* rgb, int64_t pixels, float factor);
void change_saturation(float* rgb, int64_t pixels, float factor);
void change_hue(float* rgb, int64_t pixels, float turns);

}  // namespace gradus
