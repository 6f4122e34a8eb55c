// data/jpeg.h in a build without libjpeg.
#include "data/jpeg.h"

namespace gradus {

const char* jpeg_decoder() { return "stb_image"; }

std::optional<PicturePart> decode_jpeg_part(std::span<const uint8_t>, std::string_view, const ChooseCrop&, int64_t,
                                            int64_t, Grey) {
  return std::nullopt;
}

}  // namespace gradus
