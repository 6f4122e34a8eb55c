// Decoding of whole pictures through stb_image, whose code is compiled here and nowhere else.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "core/error.h"
#include "core/shortened.h"
#include "data/image.h"
#include "data/image_file.h"
#include "data/jpeg.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS 32768
// Zeros: what a file leaves out must not be what was in memory.
#define STBI_MALLOC(size) std::calloc(1, size)
#define STBI_REALLOC(memory, size) std::realloc(memory, size)
#define STBI_FREE(memory) std::free(memory)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // fields of its context that reading from memory never uses
#endif
#include <stb_image.h>

namespace gradus {
namespace {

Image decode_by_stb(std::span<const uint8_t> bytes, std::string_view name) {
  const auto fail_decoding = [&] {
    const char* reason = stbi_failure_reason();
    fail(ErrorKind::io, "decode_image", name, " cannot be decoded (",
         reason && *reason ? shortened(reason) : "its content makes no sense", "): replace or remove it");
  };
  const int size = static_cast<int>(bytes.size());
  int width = 0, height = 0, channels = 0;
  if (stbi_info_from_memory(bytes.data(), size, &width, &height, &channels) == 0) fail_decoding();
  check_extents(height, width, name);
  const std::unique_ptr<stbi_uc, decltype(&std::free)> pixels(
      stbi_load_from_memory(bytes.data(), size, &width, &height, &channels, 0), &std::free);
  if (!pixels) fail_decoding();
  check_extents(height, width, name);
  Image image{.height = height, .width = width, .channels = channels, .pixels = {}};
  image.pixels.assign(pixels.get(), pixels.get() + image.height * image.width * image.channels);
  return image;
}

Image with_channels(Image image, int64_t channels) {
  if (channels == 0 || channels == image.channels) return image;
  const auto from = static_cast<size_t>(image.channels), to = static_cast<size_t>(channels);
  const size_t count = image.pixels.size() / from;
  std::vector<uint8_t> pixels(count * to);
  for (size_t i = 0; i < count; ++i) {
    const uint8_t* in = image.pixels.data() + i * from;
    uint8_t* out = pixels.data() + i * to;
    if (to < 3)  // ITU-R BT.601
      out[0] = from < 3 ? in[0] : static_cast<uint8_t>((77 * in[0] + 150 * in[1] + 29 * in[2]) >> 8);
    else
      for (size_t c = 0; c < 3; ++c) out[c] = in[from < 3 ? 0 : c];
    if (to % 2 == 0) out[to - 1] = from % 2 == 0 ? in[from - 1] : 255;
  }
  image.channels = channels;
  image.pixels = std::move(pixels);
  return image;
}

}  // namespace

void require_whole_jpeg(std::span<const uint8_t> bytes, std::string_view name) {
  const std::string_view view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const size_t scan = view.rfind("\xff\xda"), end = view.rfind("\xff\xd9");
  if (scan != view.npos && (end == view.npos || end < scan))
    fail(ErrorKind::io, "decode_image", name, " ends before its last scan does (", bytes.size(),
         " bytes): the file was cut; copy it again or remove it");
}

void check_jpeg_markers(std::span<const uint8_t> bytes, std::string_view name) {
  constexpr uint8_t frame = 0xc0, progressive_frame = 0xc2, huffman = 0xc4, restart = 0xd0, end_of_image = 0xd9,
                    start_of_scan = 0xda, quantization = 0xdb;
  constexpr size_t lengths = 16, most_codes = 256;
  const auto byte = [&](size_t at) -> unsigned { return at < bytes.size() ? bytes[at] : 0; };  // as stb_image reads
  int scans = 0;
  bool progressive = false;
  unsigned defined[2] = {}, used[2] = {};  // Huffman tables, a bit each: of DC and of AC coefficients
  unsigned defined_quantization = 0, used_quantization = 0;
  const auto require_defined = [&](bool all) {
    if (!all) fail(ErrorKind::io, "decode_image", name, " is damaged (it lacks a table): replace or remove it");
  };
  for (size_t at = 2; at + 4 <= bytes.size();) {
    const uint8_t marker = bytes[at + 1];
    // What is no marker, or has no content: entropy-coded data, fill bytes, restarts, ends.
    if (bytes[at] != 0xff || marker == 0xff || marker == 0 || (marker >= restart && marker <= end_of_image)) {
      ++at;
      continue;
    }
    const size_t content = at + 4, end = at + 2 + (byte(at + 2) << 8 | byte(at + 3));
    for (size_t table = content; marker == huffman && table < end;) {
      size_t codes = 0;
      for (size_t i = 1; i <= lengths; ++i) codes += byte(table + i);
      if (codes > most_codes)
        fail(ErrorKind::io, "decode_image", name, " is damaged (a Huffman table of ", codes, " codes, more than ",
             most_codes, "): replace or remove it");
      defined[byte(table) >> 4 & 1] |= 1U << (byte(table) & 15);
      table += 1 + lengths + codes;
    }
    for (size_t table = content; marker == quantization && table < end; table += byte(table) >> 4 != 0 ? 129 : 65)
      defined_quantization |= 1U << (byte(table) & 15);
    if (marker >= frame && marker <= progressive_frame) {
      progressive = marker == progressive_frame;
      for (size_t i = 0; i < byte(content + 5); ++i) used_quantization |= 1U << (byte(content + 8 + 3 * i) & 15);
    }
    if (marker == start_of_scan) {
      if (++scans > most_jpeg_scans)
        fail(ErrorKind::io, "decode_image", name, " has more than ", most_jpeg_scans, " scans: replace or remove it");
      const size_t count = byte(content), band = content + 1 + 2 * count;
      // A progressive scan is of one kind of coefficients; what it adds to those of DC needs no table.
      const bool dc = byte(band) == 0 && byte(band + 2) >> 4 == 0, ac = !progressive || byte(band) != 0;
      for (size_t i = 0; i < count; ++i) {
        const unsigned tables = byte(content + 2 + 2 * i);
        if (dc) used[0] |= 1U << (tables >> 4);
        if (ac) used[1] |= 1U << (tables & 15);
      }
      require_defined((used[0] & ~defined[0]) == 0 && (used[1] & ~defined[1]) == 0);
    }
    at = end;
  }
  require_defined((used_quantization & ~defined_quantization) == 0);
}

Image decode_image(std::span<const uint8_t> bytes, std::string_view name, int64_t channels) {
  if (channels < 0 || channels > 4)
    fail(ErrorKind::value, "decode_image", channels,
         " channels were asked for: ask for 1 to 4, or 0 for the file's own");
  if (bytes.size() > 0x7fffffff) fail(ErrorKind::io, "decode_image", name, " has ", bytes.size(), " bytes: too many");
  if (is_pnm(bytes)) return with_channels(decode_pnm(bytes, name), channels);
  if (is_jpeg(bytes)) {
    // Through stb_image also where there is libjpeg, whose bytes differ a little: equal files make equal data sets in
    // every build.
    require_whole_jpeg(bytes, name);
    check_jpeg_markers(bytes, name);
  } else if (is_png(bytes)) {
    check_png(bytes, name);
  } else if (is_bmp(bytes)) {
    check_bmp(bytes, name);
  } else {
    fail(ErrorKind::io, "decode_image", name, " is not a PNG, JPEG, BMP or PPM image (", bytes.size(),
         " bytes): replace or remove it");
  }
  return with_channels(decode_by_stb(bytes, name), channels);
}

}  // namespace gradus
