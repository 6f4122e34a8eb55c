// Pictures: decoding files into bytes, resizing, and PNG files of them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gradus {

/// Row-major bytes [height, width, channels]: 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha.
struct Image {
  int64_t height = 0, width = 0, channels = 0;
  std::vector<uint8_t> pixels;
};

/// Decodes a PNG, JPEG, BMP or PPM/PGM file; `name` is the file in messages. `channels` converts (RGB to gray by
/// luminance, gray to RGB by repetition, alpha dropped); 0 keeps what the file has. Throws ErrorKind::io.
Image decode_image(std::span<const uint8_t> bytes, std::string_view name, int64_t channels = 0);
Image read_image(const std::string& path, int64_t channels = 0);

/// A PNG file. Throws ErrorKind::value where the bytes are not those of an image.
std::string encode_png(const Image& image);

/// Bilinear with antialiasing, as resample() does it, rounded to bytes. Throws ErrorKind::value for an extent below 1.
Image resize_image(const Image& image, int64_t height, int64_t width);

/// True for names that end in .png, .jpg, .jpeg, .bmp, .ppm or .pgm, in any case.
bool is_image_name(std::string_view name);
/// Whether it is that of a picture in a common format that decode_image() does not read: GIF, TIFF, WebP, HEIC, AVIF.
bool is_unread_image_name(std::string_view name);

/// The quality, 1 to 100, at which the Independent JPEG Group's encoder writes this file's luminance table (ITU T.81,
/// table K.1, scaled); nothing for other files and other tables.
std::optional<int> jpeg_quality(std::span<const uint8_t> bytes);

}  // namespace gradus
