// IEEE 754's 16-bit numbers, which only files hold: they become float32, exactly, when these are read. Not public.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace gradus {

/// The bits of the float32 of equal value; of a NaN, sign and payload are kept. Integers alone: no mode of the
/// processor that flushes subnormals, and no register that quiets a NaN, has a say.
constexpr uint32_t float_bits_of_half(uint16_t half) {
  const uint32_t sign = (half & 0x8000u) << 16, magnitude = half & 0x7fffu;
  if (magnitude >= 0x7c00u) return sign | 0x7f800000u | (magnitude & 0x3ffu) << 13;  // infinity, NaN
  if (magnitude >= 0x0400u) return sign | ((magnitude << 13) + ((127u - 15u) << 23));
  if (magnitude == 0) return sign;
  // Subnormal, m / 2^24: its leading one, at bit k of m, becomes the implicit one of 2^(k-24).
  const auto k = static_cast<uint32_t>(std::bit_width(magnitude)) - 1;
  return sign | ((127u - 24u + k) << 23) | ((magnitude << (23 - k)) & 0x7fffffu);
}

/// The bytes of so many half-precision numbers as those of float32.
inline std::vector<char> widened_halves(const std::vector<char>& bytes) {
  std::vector<char> wide(bytes.size() * 2);
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
    uint16_t half = 0;
    std::memcpy(&half, bytes.data() + i, sizeof half);
    const uint32_t bits = float_bits_of_half(half);
    std::memcpy(wide.data() + 2 * i, &bits, sizeof bits);
  }
  return wide;
}

}  // namespace gradus
