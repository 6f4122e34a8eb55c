#include "data/resample.h"

#include <doctest/doctest.h>

#include "data/decode_part.h"
#include "tests/data/photo_golden.h"

using namespace gradus;

namespace {

std::vector<float> resampled(const PicturePart& part, int64_t height, int64_t width, bool mirror = false) {
  std::vector<float> out(static_cast<size_t>(height * width * part.image.channels));
  resample(part.view(), part.region.box, height, width, mirror, out.data());
  return out;
}

PicturePart whole(const Image& image) {
  const Crop crop{.box = {.height = static_cast<double>(image.height), .width = static_cast<double>(image.width)}};
  return {.image = image, .region = region_of(crop, image.height, image.width)};
}

}  // namespace

TEST_CASE("resizing agrees with Pillow's antialiased bilinear, whose results are rounded twice") {
  for (const auto& [name, expected] : golden::photos().at("resized").items()) {
    const std::string picture = name;
    INFO(picture);
    const auto s = expected.at("shape").get<std::vector<int64_t>>();
    const Image image = golden::picture(name, s[0], s[1]);
    const Crop crop{.box = {static_cast<double>(s[2]), static_cast<double>(s[3]), static_cast<double>(s[4]),
                            static_cast<double>(s[5])}};
    const PicturePart part{.image = image, .region = region_of(crop, s[0], s[1])};
    // Half a step for each of Pillow's roundings, of which the first is averaged, and its 8-bit weights.
    CHECK(golden::largest_difference(resampled(part, s[6], s[7]), expected.at("pixels")) < 1.1);
  }
}

TEST_CASE("the same size gives the same pixels, and mirroring exchanges left and right") {
  const Image image = golden::picture("same", 5, 6);
  const std::vector<float> same = resampled(whole(image), 5, 6), mirrored = resampled(whole(image), 5, 6, true);
  for (int64_t y = 0; y < 5; ++y)
    for (int64_t x = 0; x < 6; ++x)
      for (int64_t c = 0; c < 3; ++c) {
        const auto at = [&](int64_t column) { return static_cast<size_t>((y * 6 + column) * 3 + c); };
        CHECK(same[at(x)] == image.pixels[at(x)]);
        CHECK(mirrored[at(x)] == image.pixels[at(5 - x)]);
      }
}

TEST_CASE("any number of channels is resized as each alone") {
  const Image rgb = golden::picture("channels", 9, 7);
  const std::vector<float> together = resampled(whole(rgb), 4, 5);
  for (size_t c = 0; c < 3; ++c) {
    Image one{.height = 9, .width = 7, .channels = 1, .pixels = {}};
    for (size_t i = c; i < rgb.pixels.size(); i += 3) one.pixels.push_back(rgb.pixels[i]);
    const std::vector<float> alone = resampled(whole(one), 4, 5);
    for (size_t i = 0; i < alone.size(); ++i) CHECK(alone[i] == doctest::Approx(together[3 * i + c]).epsilon(1e-6));
  }
}

TEST_CASE("a box between pixels shows what lies around its edges too, where it may look") {
  const Image ramp{.height = 1, .width = 8, .channels = 1, .pixels = {0, 10, 20, 30, 40, 50, 60, 70}};
  // From 2.5 to 4.5, as two pixels: centers 3 and 4, halfway between neighbors.
  const Crop narrow{.box = {.top = 0, .left = 2.5, .height = 1, .width = 2}, .margin = 2};
  const PicturePart part{.image = ramp, .region = region_of(narrow, 1, 8)};
  CHECK(part.region.left == 0);
  CHECK(part.region.width == 7);
  CHECK(resampled(part, 1, 2) == std::vector<float>{25, 35});
}
