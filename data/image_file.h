// What is asked of a picture's file before it is decoded: that it is whole, and no larger than memory. Internal to
// data.
#pragma once

#include "data/image.h"

namespace gradus {

// Each throws ErrorKind::io naming the file.

/// For extents below 1 and more than 2^28 pixels: a few bytes of header may ask for gigabytes.
void check_extents(int64_t height, int64_t width, std::string_view name);
/// For a PNG that was cut, or a chunk of which does not fit its checksum: decoders look at neither.
void check_png(std::span<const uint8_t> bytes, std::string_view name);
/// For a BMP that is shorter than its header says: decoders paint the missing rest black.
void check_bmp(std::span<const uint8_t> bytes, std::string_view name);

/// A binary PPM or PGM file, with one or two bytes for a sample.
Image decode_pnm(std::span<const uint8_t> bytes, std::string_view name);

inline bool begins_with(std::span<const uint8_t> bytes, std::string_view start) {
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()).starts_with(start);
}
inline bool is_png(std::span<const uint8_t> bytes) { return begins_with(bytes, "\x89PNG\r\n\x1a\n"); }
inline bool is_bmp(std::span<const uint8_t> bytes) { return begins_with(bytes, "BM"); }
inline bool is_pnm(std::span<const uint8_t> bytes) { return begins_with(bytes, "P5") || begins_with(bytes, "P6"); }

}  // namespace gradus
