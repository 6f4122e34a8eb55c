// data/jpeg.h in a build without libjpeg.
#include "data/jpeg.h"

namespace gradus {

std::optional<PicturePart> decode_jpeg_part(std::span<const uint8_t>, std::string_view, const ChooseCrop&, int64_t,
                                            int64_t) {
  return std::nullopt;
}

}  // namespace gradus
