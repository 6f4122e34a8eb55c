#include "data/transforms.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

Dataset noise_images(int64_t count, int64_t channels, int64_t height, int64_t width) {
  const DatasetInfo info{
      .name = "random", .channels = channels, .height = height, .width = width, .class_names = {"a"}};
  Generator random(3);
  std::vector<uint8_t> pixels(static_cast<size_t>(count * channels * height * width));
  for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(random.below(256));
  return Dataset(info, pixels, std::vector<int32_t>(static_cast<size_t>(count)));
}

/// The image that a crop of the padded, then flipped image gives, pixel by pixel.
std::vector<float> placed(std::span<const uint8_t> image, const DatasetInfo& info, int64_t top, int64_t left,
                          bool flip) {
  std::vector<float> out;
  for (int64_t y = 0; y < info.height; ++y)
    for (int64_t x = 0; x < info.width; ++x)
      for (int64_t c = 0; c < info.channels; ++c) {
        const int64_t row = y + top - 4, column = (flip ? info.width - 1 - x : x) + left - 4;
        const bool inside = row >= 0 && row < info.height && column >= 0 && column < info.width;
        const uint8_t byte =
            inside ? image[static_cast<size_t>((row * info.width + column) * info.channels + c)] : uint8_t{0};
        out.push_back(static_cast<float>(byte / 255.0));
      }
  return out;
}

}  // namespace

TEST_CASE("channel statistics agree with sums of deviations in float64") {
  const Dataset data = noise_images(700, 3, 5, 7);  // several of the chunks in which integers are summed
  const Normalization found = channel_statistics(data);
  const double count = 700 * 5 * 7;
  for (size_t c = 0; c < 3; ++c) {
    double mean = 0, squares = 0;
    for (size_t i = c; i < data.pixels().size(); i += 3) mean += data.pixels()[i] / 255.0 / count;
    for (size_t i = c; i < data.pixels().size(); i += 3)
      squares += std::pow(data.pixels()[i] / 255.0 - mean, 2) / count;
    // float64 sums of 24,500 terms: their relative rounding error is below 24,500 * 2^-53 < 3e-12.
    CHECK(found.mean[c] == doctest::Approx(mean).epsilon(3e-12));
    CHECK(found.std[c] == doctest::Approx(std::sqrt(squares)).epsilon(3e-12));
  }
}

TEST_CASE("sums over the brightest images do not overflow") {
  const DatasetInfo info{.name = "white", .channels = 1, .height = 300, .width = 300, .class_names = {"a"}};
  std::vector<uint8_t> pixels(90000, 255);
  pixels[5] = 254;
  const Normalization found = channel_statistics(Dataset(info, pixels, {0}));
  CHECK(found.mean[0] == doctest::Approx(1 - 1 / 255.0 / 90000).epsilon(1e-12));
  CHECK(found.std[0] == doctest::Approx(std::sqrt(1.0 / 90000 - 1.0 / 90000 / 90000) / 255).epsilon(1e-4).scale(0));
}

TEST_CASE("a constant channel has standard deviation 1") {
  const DatasetInfo info{.name = "flat", .channels = 1, .height = 1, .width = 3, .class_names = {"a"}};
  const Normalization found = channel_statistics(Dataset(info, {51, 51, 51}, {0}));
  CHECK(found.mean[0] == doctest::Approx(0.2));
  CHECK(found.std[0] == 1);
}

TEST_CASE("standardization is by channel, and scales to [0, 1] without statistics") {
  const DatasetInfo info{.name = "x", .channels = 2, .height = 1, .width = 1, .class_names = {"a"}};
  const std::vector<uint8_t> image = {255, 51};
  float out[2];
  ImageTransform(info, {.mean = {0.5, 0.1}, .std = {0.25, 2}}, Augment::none).apply(image, {}, out);
  CHECK(out[0] == 2.0f);
  CHECK(out[1] == doctest::Approx(0.05).epsilon(1e-7));
  ImageTransform(info, {}, Augment::none).apply(image, {}, out);
  CHECK(out[0] == 1.0f);
  CHECK(out[1] == static_cast<float>(51 / 255.0));
}

TEST_CASE("a normalization for other channels, or without spread, is refused") {
  const DatasetInfo info{.name = "x", .channels = 1, .height = 1, .width = 1, .class_names = {"a"}};
  CHECK(contains(error_of([&] {
                   ImageTransform(info, {.mean = {0, 0}, .std = {1, 1}}, Augment::none);
                 }),
                 "x has 1 channels, but the normalization is for 2"));
  const auto said = [&](double mean, double std) {
    return error_of([&] { ImageTransform(info, {.mean = {mean}, .std = {std}}, Augment::none); });
  };
  for (double std : {0.0, -1.0, HUGE_VAL, std::nan(""), -HUGE_VAL})
    CHECK(contains(said(0, std), " of channel 0: it must be positive and finite"));
  for (double mean : {HUGE_VAL, -HUGE_VAL, std::nan("")})
    CHECK(contains(said(mean, 1), " of channel 0: it must be finite"));
}

TEST_CASE("augmentation is a crop of the padded image, mirrored or not, and reaches all 162 of them") {
  const Dataset data = noise_images(1, 3, 6, 9);
  const ImageTransform transform(data.info(), {}, Augment::standard);
  std::vector<std::vector<float>> all;
  for (int64_t top = 0; top <= 8; ++top)
    for (int64_t left = 0; left <= 8; ++left)
      for (bool flip : {false, true}) all.push_back(placed(data.image(0), data.info(), top, left, flip));
  std::set<size_t> seen;
  std::vector<float> out(static_cast<size_t>(data.image_size()));
  for (uint64_t k = 0; k < 3000; ++k) {
    transform.apply(data.image(0), {.seed = 1, .stream = 2, .offset = k}, out.data());
    const auto found = std::find(all.begin(), all.end(), out);
    REQUIRE(found != all.end());
    seen.insert(static_cast<size_t>(found - all.begin()));
  }
  CHECK(seen.size() == 162);  // one of them stays unseen with probability 162 * (161/162)^3000 < 2e-6
}
