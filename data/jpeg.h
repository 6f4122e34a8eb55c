// JPEG files: telling them, and decoding parts of them through libjpeg (-Djpeg). Internal to data.
#pragma once

#include <optional>

#include "data/decode_part.h"

namespace gradus {

inline bool is_jpeg(std::span<const uint8_t> bytes) { return bytes.size() > 2 && bytes[0] == 0xff && bytes[1] == 0xd8; }

/// Throws ErrorKind::io for a JPEG that ends before its last scan does: decoders paint the missing rest grey.
void require_whole_jpeg(std::span<const uint8_t> bytes, std::string_view name);

/// decode_part() of a JPEG; nothing in a build without libjpeg.
std::optional<PicturePart> decode_jpeg_part(std::span<const uint8_t> bytes, std::string_view name,
                                            const ChooseCrop& choose, int64_t height, int64_t width);

}  // namespace gradus
