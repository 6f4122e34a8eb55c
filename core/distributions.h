// From a random word to an element of a tensor: every device uses these functions. They compute in double, with the
// multiply-add spelled out, so that neither the compiler's contraction nor a vector unit changes the float that the
// result is rounded to.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "core/anywhere.h"
#include "core/random.h"

namespace gradus {

/// low + (high - low) * u for u in [0, 1); the caller rounds to the element type.
GRADUS_ANYWHERE inline double to_uniform(uint32_t word, double low, double high) {
  return std::fma(high - low, static_cast<double>(to_unit_float(word)), low);
}

/// A point of the plane, of which each coordinate is a standard normal number (Box-Muller). The first word's uniform
/// lies in (0, 1], the second's in [0, 1).
struct NormalPoint {
  GRADUS_ANYWHERE NormalPoint(uint32_t first, uint32_t second)
      : radius(std::sqrt(-2 * std::log(static_cast<double>((first >> 8) + 1) * 0x1p-24))),
        angle(2 * std::numbers::pi * static_cast<double>(to_unit_float(second))) {}
  GRADUS_ANYWHERE double x() const { return radius * std::cos(angle); }
  GRADUS_ANYWHERE double y() const { return radius * std::sin(angle); }
  double radius, angle;
};

/// Standard normal number of element `lane` (0 to 3) of a block: words 0 and 1 make elements 0 and 1, the others the
/// others.
GRADUS_ANYWHERE inline double to_normal(const std::array<uint32_t, 4>& block, int lane) {
  const NormalPoint point(block[lane & ~1], block[lane | 1]);
  return (lane & 1) == 0 ? point.x() : point.y();
}

}  // namespace gradus
