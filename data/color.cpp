#include "data/color.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace gradus {
namespace {

/// ITU-R 601-2.
float gray(const float* rgb) { return 0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2]; }

float clamp(float value) { return std::clamp(value, 0.0f, 255.0f); }

}  // namespace

void change_brightness(float* rgb, int64_t pixels, float factor) {
  for (int64_t i = 0; i < 3 * pixels; ++i) rgb[i] = clamp(factor * rgb[i]);
}

void change_contrast(float* rgb, int64_t pixels, float factor) {
  double sum = 0;
  for (int64_t i = 0; i < pixels; ++i) sum += gray(rgb + 3 * i);
  const float constant = (1 - factor) * static_cast<float>(sum / static_cast<double>(pixels));
  for (int64_t i = 0; i < 3 * pixels; ++i) rgb[i] = clamp(factor * rgb[i] + constant);
}

void change_saturation(float* rgb, int64_t pixels, float factor) {
  for (int64_t i = 0; i < pixels; ++i, rgb += 3) {
    const float constant = (1 - factor) * gray(rgb);
    for (int c = 0; c < 3; ++c) rgb[c] = clamp(factor * rgb[c] + constant);
  }
}

void change_hue(float* rgb, int64_t pixels, float turns) {
  for (int64_t i = 0; i < pixels; ++i, rgb += 3) {
    const float r = rgb[0], g = rgb[1], b = rgb[2];
    const float high = std::max({r, g, b}), low = std::min({r, g, b}), range = high - low;
    if (range <= 0) continue;
    // Hue in sixths of a turn from red; each channel is at its height within one sixth of its own hue and falls
    // linearly.
    const float hue = high == r ? (g - b) / range : high == g ? 2 + (b - r) / range : 4 + (r - g) / range;
    constexpr float own_hue[] = {0, 2, 4};
    for (int c = 0; c < 3; ++c) {
      float distance = std::abs(std::remainder(hue + 6 * turns - own_hue[c], 6.0f));
      rgb[c] = low + range * std::clamp(2 - distance, 0.0f, 1.0f);
    }
  }
}

void jitter_colors(float* rgb, int64_t pixels, const ColorJitter& jitter, Generator& random) {
  const double strengths[] = {jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue};
  int order[] = {0, 1, 2, 3};
  for (int i = 3; i > 0; --i) std::swap(order[i], order[random.below(static_cast<uint64_t>(i) + 1)]);
  for (int which : order) {
    const double strength = strengths[which];
    if (strength == 0) continue;
    const double low = which == 3 ? -strength : std::max(0.0, 1 - strength);
    const double high = which == 3 ? strength : 1 + strength;
    const auto value = static_cast<float>(low + (high - low) * random.uniform());
    if (which == 0) change_brightness(rgb, pixels, value);
    if (which == 1) change_contrast(rgb, pixels, value);
    if (which == 2) change_saturation(rgb, pixels, value);
    if (which == 3) change_hue(rgb, pixels, value);
  }
}

}  // namespace gradus
