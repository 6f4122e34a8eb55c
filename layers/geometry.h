// The padding of a layer's windows, which may depend on the input, and how windows are printed.
#pragma once

#include <cstdint>
#include <string>

#include "core/specs.h"

namespace gradus {

/// Zeros around an image: a number of them, or `same`, TensorFlow's rule that makes the output ceil(input / stride)
/// long. That rule puts an odd zero at the bottom and right: a 3x3 window of stride 2 on an even input pads 0 before
/// and 1 after.
class Padding {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): `.padding = 1`
  constexpr Padding(int64_t all) : Padding(all, all, all, all) {}
  constexpr Padding(int64_t height, int64_t width) : Padding(height, width, height, width) {}
  constexpr Padding(int64_t top, int64_t left, int64_t bottom, int64_t right) : sides_(top, left, bottom, right) {}
  static const Padding same;

  bool is_same() const { return same_; }
  /// In numbers, for an input of this size.
  Sides resolve(Extent2d input, Extent2d kernel, Extent2d stride, Extent2d dilation) const;
  friend bool operator==(const Padding&, const Padding&) = default;
  /// "same", "1", "1x2", or four numbers with commas: top, left, bottom, right.
  friend std::string to_string(const Padding& padding);

 private:
  Sides sides_;
  bool same_ = false;
};

inline constexpr Padding Padding::same = [] {
  Padding padding(0);
  padding.same_ = true;
  return padding;
}();

/// 3, or 3x5.
std::string to_string(Extent2d extent);

}  // namespace gradus
