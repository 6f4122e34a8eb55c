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

/// Standard normal number of element `lane` (0 to 3) of a block, by Box-Muller: words 0 and 1 make elements 0 (cosine)
/// and 1 (sine), words 2 and 3 make elements 2 and 3. The first word's uniform lies in (0, 1], the second's in [0, 1).
GRADUS_ANYWHERE inline double to_normal(const std::array<uint32_t, 4>& block, int lane) {
  const uint32_t first = block[lane & ~1], second = block[lane | 1];
  const double radius = std::sqrt(-2 * std::log(static_cast<double>((first >> 8) + 1) * 0x1p-24));
  const double angle = 2 * std::numbers::pi * static_cast<double>(to_unit_float(second));
  return radius * ((lane & 1) == 0 ? std::cos(angle) : std::sin(angle));
}

}  // namespace gradus
