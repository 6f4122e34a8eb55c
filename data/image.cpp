#include "data/image.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>

#include "core/error.h"
#include "core/file.h"
#include "data/resample.h"

namespace gradus {
namespace {

// ITU T.81, table K.1, in zigzag order.
constexpr std::array<int, 64> standard_luminance = {
    16, 11,  12, 14, 12, 10, 16,  14,  13,  14, 18, 17,  16,  19,  24,  40,  26, 24,  22,  22, 24, 49,
    35, 37,  29, 40, 58, 51, 61,  60,  57,  51, 56, 55,  64,  72,  92,  78,  64, 68,  87,  69, 55, 56,
    80, 109, 81, 87, 95, 98, 103, 104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99};

std::optional<int> quality_of_table(std::span<const uint8_t> table) {
  for (int quality = 100; quality >= 1; --quality) {
    const int scale = quality < 50 ? 5000 / quality : 200 - 2 * quality;
    const bool same = std::equal(table.begin(), table.end(), standard_luminance.begin(), [&](int found, int standard) {
      return found == std::clamp((standard * scale + 50) / 100, 1, 255);
    });
    if (same) return quality;
  }
  return std::nullopt;
}

/// In any case.
bool ends_in(std::string_view name, std::initializer_list<std::string_view> endings) {
  const size_t dot = name.rfind('.');
  if (dot == name.npos) return false;
  std::string ending(name.substr(dot + 1));
  for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return std::find(endings.begin(), endings.end(), ending) != endings.end();
}

}  // namespace

Image read_image(const std::string& path, int64_t channels) {
  const std::string bytes = read_file(path);
  return decode_image({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, path, channels);
}

Image resize_image(const Image& image, int64_t height, int64_t width) {
  if (height < 1 || width < 1 || image.height < 1 || image.width < 1)
    fail(ErrorKind::value, "resize_image", "cannot make ", height, "x", width, " from ", image.height, "x", image.width,
         ": every extent must be at least 1");
  const PixelView view{image.pixels.data(), image.height, image.width, image.channels, image.width * image.channels};
  const Box whole{.height = static_cast<double>(image.height), .width = static_cast<double>(image.width)};
  std::vector<float> values(static_cast<size_t>(height * width * image.channels));
  resample(view, whole, height, width, false, values.data());
  Image out{.height = height, .width = width, .channels = image.channels, .pixels = {}};
  out.pixels.reserve(values.size());
  for (float value : values) out.pixels.push_back(static_cast<uint8_t>(std::lround(std::clamp(value, 0.0f, 255.0f))));
  return out;
}

bool is_image_name(std::string_view name) { return ends_in(name, {"png", "jpg", "jpeg", "bmp", "ppm", "pgm"}); }

bool is_unread_image_name(std::string_view name) {
  return ends_in(name, {"gif", "tif", "tiff", "webp", "heic", "heif", "avif"});
}

std::optional<int> jpeg_quality(std::span<const uint8_t> bytes) {
  constexpr uint8_t tables = 0xdb, scan = 0xda;
  if (bytes.size() < 2 || bytes[0] != 0xff || bytes[1] != 0xd8) return std::nullopt;
  // Segments: FF, marker, two bytes of length that count themselves, content. Luminance is 8-bit table 0.
  for (size_t at = 2; at + 4 <= bytes.size() && bytes[at] == 0xff && bytes[at + 1] != scan;) {
    const size_t content = at + 4, end = at + 2 + (static_cast<size_t>(bytes[at + 2]) << 8 | bytes[at + 3]);
    if (bytes[at + 1] == tables && content + 65 <= std::min(end, bytes.size()) && bytes[content] == 0)
      return quality_of_table(bytes.subspan(content + 1, 64));
    at = end;
  }
  return std::nullopt;
}

}  // namespace gradus
