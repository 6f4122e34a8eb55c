// JPEG files: telling them, and decoding parts of them through libjpeg (-Djpeg). Internal to data.
#pragma once

#include <optional>

#include "data/decode_part.h"

namespace gradus {

inline bool is_jpeg(std::span<const uint8_t> bytes) { return bytes.size() > 2 && bytes[0] == 0xff && bytes[1] == 0xd8; }

/// Throws ErrorKind::io for a JPEG that ends before its last scan does: decoders paint the missing rest grey. In
/// entropy-coded data no marker can occur, so a file whose last scan (FF DA) is not followed by an end of image (FF D9)
/// was cut.
void require_whole_jpeg(std::span<const uint8_t> bytes, std::string_view name);
/// Throws ErrorKind::io for a Huffman table of more codes than there are bytes, which stb_image does not notice.
void require_huffman_tables(std::span<const uint8_t> bytes, std::string_view name);

/// The library that decodes JPEG files in this build: the bytes of two differ a little.
const char* jpeg_decoder();

enum class Grey { becomes_rgb, stays };
/// decode_part() of a JPEG; nothing in a build without libjpeg.
std::optional<PicturePart> decode_jpeg_part(std::span<const uint8_t> bytes, std::string_view name,
                                            const ChooseCrop& choose, int64_t height, int64_t width,
                                            Grey grey = Grey::becomes_rgb);

}  // namespace gradus
