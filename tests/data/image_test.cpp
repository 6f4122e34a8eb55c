#include "data/image.h"

#include <doctest/doctest.h>

#include <algorithm>

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

Image grey(int64_t height, int64_t width, std::vector<uint8_t> pixels) {
  return {.height = height, .width = width, .channels = 1, .pixels = std::move(pixels)};
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

TEST_CASE("what is not an image is an error that names the file") {
  const std::string error = error_of([] { decode_image(as_bytes("hello"), "cat/1.png"); });
  CHECK(contains(error, "cat/1.png is not a PNG, JPEG, BMP or PPM image (5 bytes"));
  CHECK(contains(error_of([] { decode_image({}, "empty.png"); }), "empty.png"));
}

TEST_CASE("a PNG cut anywhere in its pixels is an error") {
  for (size_t length = 0; length < 50; ++length)
    CHECK(contains(error_of([&] { decode_image(std::span(png).first(length), "cut.png"); }), "cut.png"));
}

TEST_CASE("a JPEG cut anywhere after its header is an error, not a grey rest") {
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
  // From 4 to 2: centres at 1 and 3, half width 2, so weights 1/8, 3/8, 3/8, 1/8 of four pixels; at the edge one is
  // missing: (3 * 0 + 3 * 10 + 20) / 7 = 7.14 and (10 + 3 * 20 + 3 * 30) / 7 = 22.86.
  CHECK(resize_image(grey(1, 4, {0, 10, 20, 30}), 1, 2).pixels == std::vector<uint8_t>{7, 23});
  CHECK(resize_image(grey(4, 1, {0, 10, 20, 30}), 2, 1).pixels == std::vector<uint8_t>{7, 23});
}

TEST_CASE("growing interpolates between pixel centres and repeats the edges") {
  // Centres at -1/4, 1/4, 3/4, 5/4 of the source: 0, 25, 75, 100.
  CHECK(resize_image(grey(1, 2, {0, 100}), 1, 4).pixels == std::vector<uint8_t>{0, 25, 75, 100});
  CHECK(resize_image(grey(1, 1, {9}), 3, 2).pixels == std::vector<uint8_t>(6, 9));
}

TEST_CASE("resizing to the same size changes nothing, and keeps channels apart") {
  const Image image = decode_image(png, "a.png");
  CHECK(resize_image(image, 2, 3).pixels == image.pixels);
  // Three columns to one: weights 2/7, 3/7, 2/7.
  CHECK(resize_image(image, 2, 1).pixels == std::vector<uint8_t>{73, 109, 73, 112, 115, 118});
}

TEST_CASE("an extent of zero is refused") {
  CHECK(contains(error_of([] { resize_image(grey(1, 1, {9}), 0, 4); }), "0x4 from 1x1"));
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
