// What Pillow and torchvision make of small pictures (tests/golden/make_photo_golden.py), and those pictures.
#pragma once

#include <algorithm>
#include <cmath>

#include "data/image.h"
#include "tests/golden/golden.h"

namespace golden {

inline const nlohmann::json& photos() {
  static const nlohmann::json all = read("photos.json");
  return all;
}

/// make_photo_golden.py's picture().
inline gradus::Image picture(const std::string& name, int64_t height, int64_t width) {
  gradus::Image image{.height = height, .width = width, .channels = 3, .pixels = {}};
  const std::vector<uint64_t> noise = integers(name, height * width * 3);
  for (int64_t i = 0; i < height * width * 3; ++i) {
    const int64_t y = i / 3 / width, x = i / 3 % width;
    const int64_t ramps[] = {y * 190 / height, x * 190 / width, (y + x) * 190 / (height + width)};
    image.pixels.push_back(
        static_cast<uint8_t>(ramps[i % 3] + static_cast<int64_t>(noise[static_cast<size_t>(i)] % 64)));
  }
  return image;
}

/// Bytes of a base64 text.
inline std::vector<uint8_t> from_base64(const std::string& text) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<uint8_t> bytes;
  uint32_t bits = 0;
  int count = 0;
  for (char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<uint32_t>(digits.find(c));
    if ((count += 6) >= 8) bytes.push_back(static_cast<uint8_t>(bits >> (count -= 8)));
  }
  return bytes;
}

template <class Values>
double largest_difference(const Values& found, const std::vector<double>& expected) {
  if (found.size() != expected.size()) return INFINITY;
  double largest = 0;
  for (size_t i = 0; i < expected.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(found[i]) - expected[i]));
  return largest;
}

}  // namespace golden
