#include "data/image_file.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <utility>

#include "core/error.h"
#include "data/crc32.h"

namespace gradus {
namespace {

[[noreturn]] void fail_cut(std::string_view name, size_t size, uint64_t needed) {
  fail(ErrorKind::io, "decode_image", name, " has ", size, " bytes where its header announces at least ", needed,
       ": the file was cut; copy it again or remove it");
}

uint32_t from_big_endian(std::span<const uint8_t> bytes, size_t at) {
  return uint32_t{bytes[at]} << 24 | uint32_t{bytes[at + 1]} << 16 | uint32_t{bytes[at + 2]} << 8 | bytes[at + 3];
}

uint32_t from_little_endian(std::span<const uint8_t> bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = count; i > 0; --i) value = value << 8 | bytes[at + i - 1];
  return value;
}

/// The next number of a PNM header, behind white space and comments; -1 where there is none.
int64_t header_number(std::span<const uint8_t> bytes, size_t& at) {
  constexpr int64_t most = INT32_MAX;
  for (; at < bytes.size() && (std::isspace(bytes[at]) != 0 || bytes[at] == '#'); ++at)
    if (bytes[at] == '#')
      while (at + 1 < bytes.size() && bytes[at] != '\n') ++at;
  int64_t value = -1;
  for (; at < bytes.size() && std::isdigit(bytes[at]) != 0 && value <= most; ++at)
    value = (value < 0 ? 0 : 10 * value) + (bytes[at] - '0');
  return value;
}

}  // namespace

void check_extents(int64_t height, int64_t width, std::string_view name) {
  constexpr int64_t most_pixels = int64_t{1} << 28;
  if (height < 1 || width < 1)
    fail(ErrorKind::io, "decode_image", name, " has ", height, "x", width, " pixels: replace or remove it");
  if (height > most_pixels / width)
    fail(ErrorKind::io, "decode_image", name, " has ", height, "x", width, " pixels, more than ", most_pixels,
         ": shrink or remove it");
}

void check_png(std::span<const uint8_t> bytes, std::string_view name) {
  constexpr size_t header = 33;  // the signature, and a chunk that begins with width and height
  if (bytes.size() < header) fail_cut(name, bytes.size(), header);
  check_extents(from_big_endian(bytes, 20), from_big_endian(bytes, 16), name);
  // Chunks: length of the content, type, content, checksum of type and content.
  for (size_t at = 8;;) {
    constexpr size_t frame = 12;
    if (bytes.size() - at < frame) fail_cut(name, bytes.size(), at + frame);
    const uint64_t length = from_big_endian(bytes, at);
    if (bytes.size() - at - frame < length) fail_cut(name, bytes.size(), at + frame + length);
    const auto checked = bytes.subspan(at + 4, 4 + length);
    Crc32 crc;
    crc.update(checked);
    at += frame + length;
    if (crc.value() != from_big_endian(bytes, at - 4))
      fail(ErrorKind::io, "decode_image", name, " is damaged (the checksum before byte ", at,
           " does not fit): copy it again or remove it");
    if (begins_with(checked, "IEND")) return;
  }
}

void check_bmp(std::span<const uint8_t> bytes, std::string_view name) {
  constexpr size_t oldest = 26, usual = 54;
  if (bytes.size() < oldest) fail_cut(name, bytes.size(), oldest);
  const bool old = from_little_endian(bytes, 14, 4) == 12;
  if (!old && bytes.size() < usual) fail_cut(name, bytes.size(), usual);
  const int64_t width =
      old ? int64_t{from_little_endian(bytes, 18, 2)} : static_cast<int32_t>(from_little_endian(bytes, 18, 4));
  // Below 0 where the rows begin at the top.
  const int64_t rows =
      old ? int64_t{from_little_endian(bytes, 20, 2)} : static_cast<int32_t>(from_little_endian(bytes, 22, 4));
  check_extents(std::abs(rows), width, name);
  const int64_t bits = width * from_little_endian(bytes, old ? 24 : 28, 2);
  const int64_t needed =
      from_little_endian(bytes, 10, 4) + (bits + 31) / 32 * 4 * (std::abs(rows) - 1) + (bits + 7) / 8;
  const bool packed = !old && (from_little_endian(bytes, 30, 4) == 1 || from_little_endian(bytes, 30, 4) == 2);
  if (!packed && std::cmp_less(bytes.size(), needed)) fail_cut(name, bytes.size(), static_cast<uint64_t>(needed));
}

Image decode_pnm(std::span<const uint8_t> bytes, std::string_view name) {
  size_t at = 2;
  const int64_t width = header_number(bytes, at), height = header_number(bytes, at), white = header_number(bytes, at);
  if (width < 0 || height < 0 || white < 1 || white > 65535 || at >= bytes.size() || std::isspace(bytes[at]) == 0)
    fail(ErrorKind::io, "decode_image", name,
         " is damaged (a PPM's or PGM's header was expected): replace or remove it");
  ++at;
  check_extents(height, width, name);
  Image image{.height = height, .width = width, .channels = bytes[1] == '6' ? 3 : 1, .pixels = {}};
  const auto samples = static_cast<size_t>(height * width * image.channels), size = size_t{white > 255 ? 2U : 1U};
  if (bytes.size() - at < samples * size) fail_cut(name, bytes.size(), at + samples * size);
  image.pixels.resize(samples);
  for (size_t i = 0; i < samples; ++i, at += size) {
    const int64_t sample = size == 2 ? bytes[at] << 8 | bytes[at + 1] : bytes[at];
    image.pixels[i] = static_cast<uint8_t>((std::min(sample, white) * 255 + white / 2) / white);
  }
  return image;
}

}  // namespace gradus
