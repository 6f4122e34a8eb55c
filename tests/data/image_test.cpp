#include "data/image.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "data/crc32.h"
#include "data/jpeg.h"
#include "data/md5.h"
#include "tests/data/photo_golden.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

// 3 x 2 RGB: red, green, blue; black, white, (10,20,30). Written with Python's zlib.
const std::vector<uint8_t> png = {0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48,
                                  0x44, 0x52, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x02, 0x08, 0x02, 0x00, 0x00,
                                  0x00, 0x12, 0x16, 0xf1, 0x4d, 0x00, 0x00, 0x00, 0x16, 0x49, 0x44, 0x41, 0x54, 0x78,
                                  0x9c, 0x63, 0xf8, 0xcf, 0xc0, 0xc0, 0x00, 0xc3, 0x0c, 0xff, 0xff, 0xff, 0xe7, 0x12,
                                  0x91, 0x03, 0x00, 0x3c, 0x3c, 0x06, 0x37, 0x05, 0x48, 0x1e, 0xf3, 0x00, 0x00, 0x00,
                                  0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};

Image gray(int64_t height, int64_t width, std::vector<uint8_t> pixels) {
  return {.height = height, .width = width, .channels = 1, .pixels = std::move(pixels)};
}

void put(std::vector<uint8_t>& bytes, size_t at, uint32_t value, size_t count, bool big = false) {
  for (size_t i = 0; i < count; ++i) bytes[at + (big ? count - 1 - i : i)] = static_cast<uint8_t>(value >> (8 * i));
}

/// The picture above with other extents in its header, whose checksum fits.
std::vector<uint8_t> png_of_extents(uint32_t width, uint32_t height) {
  std::vector<uint8_t> bytes = png;
  put(bytes, 16, width, 4, true);
  put(bytes, 20, height, 4, true);
  Crc32 crc;
  crc.update(std::span(bytes).subspan(12, 17));
  put(bytes, 29, crc.value(), 4, true);
  return bytes;
}

/// 24 bits a pixel, rows from the bottom, each padded to a multiple of four bytes: 1, 2, 3, ... in the file's order.
std::vector<uint8_t> bmp_of_extents(uint32_t width, uint32_t height) {
  constexpr uint32_t header = 54;
  const uint32_t row = (3 * width + 3) / 4 * 4;
  std::vector<uint8_t> bytes(header + std::min<uint64_t>(uint64_t{row} * height, 1000));
  bytes[0] = 'B';
  bytes[1] = 'M';
  put(bytes, 10, header, 4);
  put(bytes, 14, 40, 4);
  put(bytes, 18, width, 4);
  put(bytes, 22, height, 4);
  put(bytes, 26, 1, 2);
  put(bytes, 28, 24, 2);
  for (size_t i = header; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i - header + 1);
  return bytes;
}

std::string decoding_error(std::span<const uint8_t> bytes) {
  return error_of([&] { decode_image(bytes, "dog/7.png"); });
}

}  // namespace

TEST_CASE("a PNG is decoded to rows of RGB bytes") {
  const Image image = decode_image(png, "a.png");
  CHECK(image.height == 2);
  CHECK(image.width == 3);
  CHECK(image.channels == 3);
  CHECK(image.pixels == std::vector<uint8_t>{255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 10, 20, 30});
}

TEST_CASE("plain PPM and PGM files are decoded, and read from disk") {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.pgm", std::string("P5 2 1 255\n") + "\x07\xf0");
  CHECK(read_image(path).pixels == std::vector<uint8_t>{7, 240});
  CHECK(read_image(path, 3).pixels == std::vector<uint8_t>{7, 7, 7, 240, 240, 240});
  CHECK(decode_image(as_bytes("P6 1 1 255\nabc"), "a.ppm").pixels == std::vector<uint8_t>{'a', 'b', 'c'});
}

TEST_CASE("samples of a PGM are scaled from its white to 255, and may take two bytes each") {
  CHECK(decode_image(as_bytes(std::string("P5\n# a comment\n2 1\n100\n") + "\x32\x64"), "a.pgm").pixels ==
        std::vector<uint8_t>{128, 255});
  CHECK(decode_image(as_bytes(std::string("P5 2 1 65535\n\xff\xff\x80\x00", 17)), "a.pgm").pixels ==
        std::vector<uint8_t>{255, 128});
}

TEST_CASE("channels are converted: gray by luminance, alpha dropped or opaque") {
  const auto rgb = as_bytes("P6 1 1 255\n\x64\xc8\x32");  // (77 * 100 + 150 * 200 + 29 * 50) / 256 = 152.9
  CHECK(decode_image(rgb, "a.ppm", 1).pixels == std::vector<uint8_t>{152});
  CHECK(decode_image(rgb, "a.ppm", 2).pixels == std::vector<uint8_t>{152, 255});
  CHECK(decode_image(rgb, "a.ppm", 4).pixels == std::vector<uint8_t>{100, 200, 50, 255});
}

TEST_CASE("a BMP is decoded from its lowest row up") {
  const Image image = decode_image(bmp_of_extents(1, 2), "a.bmp");
  CHECK(image.pixels == std::vector<uint8_t>{7, 6, 5, 3, 2, 1});
}

TEST_CASE("a picture without pixels is refused, of whatever format") {
  for (const char* text : {"P6 0 4 255\nabc", "P6 4 0 255\nabc", "P5 0 0 255\nabc"}) {
    CAPTURE(text);
    CHECK(contains(decoding_error(as_bytes(text)), "dog/7.png has "));
  }
  for (uint32_t height : {0U, 2U}) {
    CHECK(contains(decoding_error(bmp_of_extents(2 - height, height)), "dog/7.png has "));
    CHECK(contains(decoding_error(png_of_extents(2 - height, height)), "dog/7.png "));
  }
}

TEST_CASE("a picture of more pixels than memory holds is refused by its header") {
  constexpr uint32_t side = 20000;
  for (const std::vector<uint8_t>& bytes : {png_of_extents(side, side), bmp_of_extents(side, side)})
    CHECK(
        contains(decoding_error(bytes), "dog/7.png has 20000x20000 pixels, more than 268435456: shrink or remove it"));
  CHECK(contains(decoding_error(as_bytes("P5 20000 20000 255\nabc")), "more than 268435456"));
  CHECK(contains(decoding_error(as_bytes("P5 99999999999999999999 2 255\nabc")), "dog/7.png"));
}

TEST_CASE("a PPM, PGM or BMP that was cut is refused, wherever that was") {
  const std::string ppm = std::string("P6 2 2 255\n") + "abcdefghijkl", deep("P5 1 2 256\n\0\1\0\2", 15);
  const std::vector<uint8_t> bmp = bmp_of_extents(3, 3);
  for (const auto whole : {as_bytes(ppm), as_bytes(deep), std::span<const uint8_t>(bmp)}) {
    // The last row of a BMP need not be padded.
    const size_t last = whole.data() == bmp.data() ? bmp.size() - 3 : whole.size();
    for (size_t length = 0; length < last; ++length) CHECK(contains(decoding_error(whole.first(length)), "dog/7.png"));
    CHECK_NOTHROW(decode_image(whole.first(last), "whole"));
  }
  CHECK(contains(decoding_error(as_bytes(ppm).first(20)),
                 "dog/7.png has 20 bytes where its header announces at least "
                 "23: the file was cut; copy it again or remove it"));
}

TEST_CASE("the checksum of a PNG's chunks is compared") {
  Crc32 crc;
  crc.update(as_bytes("123456789"));  // the check value of CRC-32
  CHECK(crc.value() == 0xcbf43926);
  for (size_t at : {20, 45, 60}) {  // header, pixels, the pixels' checksum
    std::vector<uint8_t> damaged = png;
    damaged[at] ^= 1;
    CHECK(contains(decoding_error(damaged), "dog/7.png is damaged (the checksum before byte "));
  }
  CHECK(contains(decoding_error(std::span(png).first(png.size() - 12)), "the file was cut"));
}

TEST_CASE("a chunk whose name no line can hold is refused on one line") {
  std::vector<uint8_t> bytes = png;
  bytes[37] = '\n';
  Crc32 crc;
  crc.update(std::span(bytes).subspan(37, 26));
  put(bytes, 63, crc.value(), 4, true);
  CHECK(contains(decoding_error(bytes), "?DAT PNG chunk not known"));
}

TEST_CASE("a JPEG's Huffman table of more codes than there are bytes is refused") {
  std::vector<uint8_t> jpeg = {0xff, 0xd8, 0xff, 0xc4, 0x01, 0x13, 0x00};
  const size_t counts = jpeg.size();
  jpeg.insert(jpeg.end(), 16, 16);
  for (int i = 0; i < 256; ++i) jpeg.push_back(static_cast<uint8_t>(i));
  jpeg.insert(jpeg.end(), {0xff, 0xd9, 0, 0});
  CHECK_NOTHROW(check_jpeg_markers(jpeg, "a.jpg"));
  jpeg[counts + 3] = 17;
  CHECK(contains(error_of([&] { check_jpeg_markers(jpeg, "a.jpg"); }),
                 "a.jpg is damaged (a Huffman table of 257 codes, more than 256)"));
  CHECK(contains(error_of([&] { decode_image(jpeg, "a.jpg"); }), "a.jpg"));
  std::vector<uint8_t> cut = {0xff, 0xd8, 0xff, 0xc4, 0x01, 0x13, 0x00, 200, 200};  // stb_image reads zeros behind it
  CHECK(contains(error_of([&] { check_jpeg_markers(cut, "a.jpg"); }), "a Huffman table of 400 codes"));
  for (const auto& [kind, photo] : golden::photos().at("jpeg").items())
    CHECK_NOTHROW(check_jpeg_markers(golden::from_base64(photo.at("file")), kind));
}

TEST_CASE("a JPEG that lacks a table it uses is refused") {
  for (const auto& [kind, photo] : golden::photos().at("jpeg").items()) {
    const std::vector<uint8_t> whole = golden::from_base64(photo.at("file"));
    for (const uint8_t marker : {0xc4, 0xdb})  // Huffman tables, quantization tables
      for (size_t at = 2; at + 1 < whole.size(); ++at) {
        if (whole[at] != 0xff || whole[at + 1] != marker) continue;
        std::vector<uint8_t> bytes = whole;
        bytes[at + 1] = 0xfe;  // a comment
        CHECK(contains(decoding_error(bytes), "is damaged (it lacks a table)"));
        break;
      }
  }
}

TEST_CASE("a JPEG is decoded with its own channels, to the same bytes in every build") {
  // Recorded results name the checksums of data sets of pictures.
  const std::map<std::string, std::string> checksums{
      {"4:2:0", "53c181d2bcbbb87410f61493115bd24b"}, {"4:2:2", "c676c135ef03f394918b203aee268db3"},
      {"4:4:4", "ad659b7bf23890bd88981b85b5169b50"}, {"cmyk", "d8bf76f6744109726b04e2daf0b624e0"},
      {"grey", "2ef8d8099c107a44cf3f32eacbbd385e"},  {"progressive", "53c181d2bcbbb87410f61493115bd24b"}};
  for (const auto& [name, photo] : golden::photos().at("jpeg").items()) {
    const std::string kind = name;
    CAPTURE(kind);
    const Image image = decode_image(golden::from_base64(photo.at("file")), kind);
    CHECK(image.channels == (kind == "grey" ? 1 : 3));
    CHECK(md5_hex(image.pixels) == checksums.at(kind));
  }
}

TEST_CASE("a progressive JPEG whose scans never end is refused") {
  std::vector<uint8_t> jpeg = golden::from_base64(golden::photos().at("jpeg").at("progressive").at("file"));
  // The first scan, of all means, says the same however often it comes.
  const auto is_marker = [&](size_t i) { return jpeg[i] == 0xff && jpeg[i + 1] != 0; };
  size_t begin = 2;
  while (!is_marker(begin) || jpeg[begin + 1] != 0xda) ++begin;
  size_t end = begin + 2;
  while (!is_marker(end)) ++end;
  const std::vector<uint8_t> scan(jpeg.begin() + static_cast<std::ptrdiff_t>(begin),
                                  jpeg.begin() + static_cast<std::ptrdiff_t>(end));
  for (int i = 0; i < 200; ++i) jpeg.insert(jpeg.begin() + static_cast<std::ptrdiff_t>(end), scan.begin(), scan.end());
  CHECK(contains(error_of([&] { decode_image(jpeg, "a.jpg"); }), "a.jpg has more than 100 scans"));
  const std::string error = decoding_error(jpeg);
  CHECK_MESSAGE(contains(error, "more than 100 scans"), error);
}

TEST_CASE("what is not an image is an error that names the file") {
  const std::string error = error_of([] { decode_image(as_bytes("hello"), "cat/1.png"); });
  CHECK(contains(error, "cat/1.png is not a PNG, JPEG, BMP or PPM image (5 bytes): replace or remove it"));
  CHECK(contains(error_of([] { decode_image({}, "empty.png"); }), "empty.png"));
}

TEST_CASE("a PNG cut anywhere in its pixels is an error") {
  for (size_t length = 0; length < 50; ++length)
    CHECK(contains(error_of([&] { decode_image(std::span(png).first(length), "cut.png"); }), "cut.png"));
}

TEST_CASE("a JPEG cut anywhere after its header is an error, not a gray rest") {
  const std::string path = shared_data("imagenet-sample.tar");
  if (path.empty()) return;
  // The tar archive holds its files as they are: take the first JPEG from its start to its end marker.
  const std::string all = read_file(path).substr(0, 1 << 20);
  const size_t begin = all.find("\xff\xd8\xff"), end = all.find("\xff\xd9", begin) + 2;
  const auto jpeg = as_bytes(all).subspan(begin, end - begin);
  CHECK(decode_image(jpeg, "whole.jpg").channels == 3);
  for (size_t length = 700; length + 2 < jpeg.size(); length += jpeg.size() / 20)
    CHECK(contains(error_of([&] { decode_image(jpeg.first(length), "cut.jpg"); }), "cut.jpg"));
}

TEST_CASE("an unknown number of channels is refused") {
  CHECK(contains(error_of([] { decode_image(png, "a.png", 5); }), "5 channels"));
}

TEST_CASE("shrinking weighs pixels by a triangle of a target pixel's half width on either side") {
  // From 4 to 2: centers at 1 and 3, half width 2, so weights 1/8, 3/8, 3/8, 1/8 of four pixels; at the edge one is
  // missing: (3 * 0 + 3 * 10 + 20) / 7 = 7.14 and (10 + 3 * 20 + 3 * 30) / 7 = 22.86.
  CHECK(resize_image(gray(1, 4, {0, 10, 20, 30}), 1, 2).pixels == std::vector<uint8_t>{7, 23});
  CHECK(resize_image(gray(4, 1, {0, 10, 20, 30}), 2, 1).pixels == std::vector<uint8_t>{7, 23});
}

TEST_CASE("growing interpolates between pixel centers and repeats the edges") {
  // Centers at -1/4, 1/4, 3/4, 5/4 of the source: 0, 25, 75, 100.
  CHECK(resize_image(gray(1, 2, {0, 100}), 1, 4).pixels == std::vector<uint8_t>{0, 25, 75, 100});
  CHECK(resize_image(gray(1, 1, {9}), 3, 2).pixels == std::vector<uint8_t>(6, 9));
}

TEST_CASE("resizing to the same size changes nothing, and keeps channels apart") {
  const Image image = decode_image(png, "a.png");
  CHECK(resize_image(image, 2, 3).pixels == image.pixels);
  // Three columns to one: weights 2/7, 3/7, 2/7.
  CHECK(resize_image(image, 2, 1).pixels == std::vector<uint8_t>{73, 109, 73, 112, 115, 118});
}

TEST_CASE("an extent of zero is refused") {
  CHECK(contains(error_of([] { resize_image(gray(1, 1, {9}), 0, 4); }), "0x4 from 1x1"));
  CHECK(contains(error_of([] { resize_image(gray(1, 1, {9}), 4, 0); }), "4x0 from 1x1"));
}

TEST_CASE("image files are known by their ending, in any case") {
  for (const char* name : {"a.png", "a/b.JPG", "n0_1.JPEG", "x.Bmp", "x.ppm", "x.pgm"}) CHECK(is_image_name(name));
  for (const char* name : {"png", "a.txt", "a.png.gz", "", "a."}) CHECK(!is_image_name(name));
}

TEST_CASE("the quality of a JPEG is read off its luminance table") {
  // DQT with table K.1 at quality 50, where the scale is exactly 1, then at 75, where it is a half.
  const std::vector<uint8_t> standard = {16, 11, 12,  14,  12,  10, 16, 14,  13,  14,  18,  17,  16, 19,  24,  40,
                                         26, 24, 22,  22,  24,  49, 35, 37,  29,  40,  58,  51,  61, 60,  57,  51,
                                         56, 55, 64,  72,  92,  78, 64, 68,  87,  69,  55,  56,  80, 109, 81,  87,
                                         95, 98, 103, 104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99};
  std::vector<uint8_t> jpeg = {0xff, 0xd8, 0xff, 0xdb, 0, 67, 0};
  jpeg.insert(jpeg.end(), standard.begin(), standard.end());
  CHECK(jpeg_quality(jpeg) == 50);
  for (size_t i = 0; i < 64; ++i) jpeg[7 + i] = static_cast<uint8_t>((standard[i] + 1) / 2);
  CHECK(jpeg_quality(jpeg) == 75);
  jpeg[20] ^= 1;
  CHECK(!jpeg_quality(jpeg));
  CHECK(!jpeg_quality(png));
  CHECK(!jpeg_quality(std::span(jpeg).first(40)));
}
