// Encoding through stb_image_write, whose code is compiled here and nowhere else.
#include <cstdlib>
#include <memory>

#include "core/error.h"
#include "core/shape.h"
#include "data/image.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

namespace gradus {

std::string encode_png(const Image& image) {
  const auto& [height, width, channels, pixels] = image;
  if (height < 1 || width < 1 || channels < 1 || channels > 4 ||
      static_cast<int64_t>(pixels.size()) != height * width * channels)
    fail(ErrorKind::value, "encode_png",
         "an image has [height,width,channels] bytes with 1 to 4 channels, but this has ", pixels.size(), " bytes for ",
         Shape{height, width, channels});
  int size = 0;
  const std::unique_ptr<unsigned char, decltype(&std::free)> bytes(
      stbi_write_png_to_mem(pixels.data(), static_cast<int>(width * channels), static_cast<int>(width),
                            static_cast<int>(height), static_cast<int>(channels), &size),
      &std::free);
  if (!bytes) fail(ErrorKind::value, "encode_png", "no memory for an image of ", Shape{height, width, channels});
  return {reinterpret_cast<const char*>(bytes.get()), static_cast<size_t>(size)};
}

}  // namespace gradus
