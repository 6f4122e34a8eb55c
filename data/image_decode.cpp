// Decoding through stb_image, whose code is compiled here and nowhere else.
#include <cstring>
#include <memory>

#include "core/error.h"
#include "data/image.h"
#include "data/jpeg.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_ONLY_PNM
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS 32768
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // fields of its context that reading from memory never uses
#endif
#include <stb_image.h>

namespace gradus {
/// In entropy-coded data no marker can occur, so a file whose last scan (FF DA) is not followed by an end of image (FF
/// D9) was cut.
void require_whole_jpeg(std::span<const uint8_t> bytes, std::string_view name) {
  const std::string_view view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const size_t scan = view.rfind("\xff\xda"), end = view.rfind("\xff\xd9");
  if (scan != view.npos && (end == view.npos || end < scan))
    fail(ErrorKind::io, "decode_image", name, " ends before its last scan does (", bytes.size(),
         " bytes): the file was cut; copy it again or remove it");
}

Image decode_image(std::span<const uint8_t> bytes, std::string_view name, int64_t channels) {
  if (channels < 0 || channels > 4)
    fail(ErrorKind::value, "decode_image", channels,
         " channels were asked for: ask for 1 to 4, or 0 for the file's own");
  if (bytes.size() > 0x7fffffff) fail(ErrorKind::io, "decode_image", name, " has ", bytes.size(), " bytes: too many");
  if (is_jpeg(bytes)) require_whole_jpeg(bytes, name);
  int width = 0, height = 0, found = 0;
  const std::unique_ptr<stbi_uc, decltype(&std::free)> pixels(
      stbi_load_from_memory(bytes.data(), static_cast<int>(bytes.size()), &width, &height, &found,
                            static_cast<int>(channels)),
      &std::free);
  if (!pixels)
    fail(ErrorKind::io, "decode_image", name, " is not a PNG, JPEG, BMP or PPM image (", bytes.size(), " bytes; ",
         stbi_failure_reason(), "): replace or remove it");
  Image image{.height = height, .width = width, .channels = channels ? channels : found, .pixels = {}};
  image.pixels.assign(pixels.get(), pixels.get() + image.height * image.width * image.channels);
  return image;
}

}  // namespace gradus
