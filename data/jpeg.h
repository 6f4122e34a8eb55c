// JPEG files: telling them, and decoding parts of them through libjpeg (-Djpeg). Internal to data.
#pragma once

#include <optional>

#include "data/decode_part.h"

namespace gradus {

inline bool is_jpeg(std::span<const uint8_t> bytes) { return bytes.size() > 2 && bytes[0] == 0xff && bytes[1] == 0xd8; }

/// Throws ErrorKind::io for a JPEG that ends before its last scan does: decoders paint the missing rest gray. In
/// entropy-coded data no marker can occur, so a file whose last scan (FF DA) is not followed by an end of image (FF D9)
/// was cut.
void require_whole_jpeg(std::span<const uint8_t> bytes, std::string_view name);
/// Throws ErrorKind::io for what stb_image does not notice: a Huffman table of more codes than there are bytes, a table
/// that is used and not defined, and more than most_jpeg_scans scans.
void check_jpeg_markers(std::span<const uint8_t> bytes, std::string_view name);

/// A progressive file of a few kilobytes can have a million scans, each of which takes a look at every pixel.
inline constexpr int most_jpeg_scans = 100;

/// decode_part() of a JPEG; nothing in a build without libjpeg.
std::optional<PicturePart> decode_jpeg_part(std::span<const uint8_t> bytes, std::string_view name,
                                            const ChooseCrop& choose, int64_t height, int64_t width);

}  // namespace gradus
