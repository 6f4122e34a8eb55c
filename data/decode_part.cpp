#include "data/decode_part.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "data/jpeg.h"

namespace gradus {

Region region_of(const Crop& crop, int64_t height, int64_t width, int64_t shrink) {
  const auto scale = static_cast<double>(shrink);
  const auto axis = [&](double begin, double length, int64_t extent, int64_t& first, int64_t& count) {
    const int64_t last = (extent + shrink - 1) / shrink - 1;
    first = std::clamp(static_cast<int64_t>(std::floor((begin - crop.margin) / scale)), int64_t{0}, last);
    const auto end = static_cast<int64_t>(std::ceil((begin + length + crop.margin) / scale));
    count = std::clamp(end, first + 1, last + 1) - first;
    return begin / scale - static_cast<double>(first);
  };
  const Box& box = crop.box;
  Region region{.box = {.top = 0, .left = 0, .height = box.height / scale, .width = box.width / scale}};
  region.box.top = axis(box.top, box.height, height, region.top, region.height);
  region.box.left = axis(box.left, box.width, width, region.left, region.width);
  return region;
}

PicturePart decode_part(std::span<const uint8_t> bytes, std::string_view name, const ChooseCrop& choose, int64_t height,
                        int64_t width) {
  if (is_jpeg(bytes))
    if (std::optional<PicturePart> part = decode_jpeg_part(bytes, name, choose, height, width)) return *std::move(part);
  Image image = decode_image(bytes, name, 3);
  const Region region = region_of(choose(image.height, image.width), image.height, image.width);
  return {.image = std::move(image), .region = region};
}

}  // namespace gradus
