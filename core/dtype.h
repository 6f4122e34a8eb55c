// Element types. There is no implicit promotion: an operation whose operands differ in dtype throws.
#pragma once

#if __cplusplus < 202002L
#error gradus needs C++20: compile with -std=c++20, or cpp_std=c++20 in Meson
#endif

#include <bit>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>

#include "core/anywhere.h"

namespace gradus {

enum class DType : uint8_t { float32, float64, int32, int64, uint8, boolean, bfloat16 };

/// The upper half of an IEEE float32; conversion rounds to nearest even. Kernels compute in float32 and round results.
struct bfloat16 {
  uint16_t bits = 0;

  bfloat16() = default;
  GRADUS_ANYWHERE constexpr explicit bfloat16(float value) {
    const uint32_t u = std::bit_cast<uint32_t>(value);
    const bool is_nan = (u & 0x7fffffffu) > 0x7f800000u;
    bits = is_nan ? static_cast<uint16_t>((u >> 16) | 0x40u) : static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  GRADUS_ANYWHERE constexpr explicit operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};

/// Bytes per element.
constexpr size_t size_of(DType dtype) {
  constexpr size_t sizes[] = {4, 8, 4, 8, 1, 1, 2};
  return sizes[static_cast<int>(dtype)];
}
/// "float32", "float64", "int32", "int64", "uint8", "bool", "bfloat16".
const char* name(DType dtype);
std::string to_string(DType dtype);
std::ostream& operator<<(std::ostream& out, DType dtype);

constexpr bool is_floating(DType dtype) {
  return dtype == DType::float32 || dtype == DType::float64 || dtype == DType::bfloat16;
}

template <class T>
struct DTypeOf;
template <> struct DTypeOf<float> { static constexpr DType value = DType::float32; };
template <> struct DTypeOf<double> { static constexpr DType value = DType::float64; };
template <> struct DTypeOf<int32_t> { static constexpr DType value = DType::int32; };
template <> struct DTypeOf<int64_t> { static constexpr DType value = DType::int64; };
template <> struct DTypeOf<uint8_t> { static constexpr DType value = DType::uint8; };
template <> struct DTypeOf<bool> { static constexpr DType value = DType::boolean; };
template <> struct DTypeOf<bfloat16> { static constexpr DType value = DType::bfloat16; };
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

}  // namespace gradus
