#include "data/photo_source.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <numeric>

#include "data/color.h"
#include "tests/data/batches.h"
#include "tests/data/photo_golden.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

std::string ppm_of(const Image& image) {
  return text("P6 ", image.width, " ", image.height, " 255\n") + std::string(image.pixels.begin(), image.pixels.end());
}

/// Two classes of three pictures, each of noise of its own.
PhotoSet noise(const TemporaryFolder& folder, int64_t height = 30, int64_t width = 50) {
  for (const char* name : {"a/0", "a/1", "a/2", "b/0", "b/1", "b/2"})
    folder.write(std::string("tree/train/") + name + ".ppm", ppm_of(golden::picture(name, height, width)));
  return read_photo_folder(folder / "tree").train;
}

std::vector<float> make(const PhotoSource& source, int64_t index, uint64_t draw = 0) {
  const DatasetInfo& info = source.info();
  std::vector<float> out(static_cast<size_t>(info.height * info.width * info.channels));
  REQUIRE(source.make(index, {.seed = 1, .stream = draw, .offset = 0}, out.data()));
  return out;
}

}  // namespace

TEST_CASE("in evaluation the middle is shown as torchvision's Resize, CenterCrop and Normalize do") {
  for (const auto& [name, expected] : golden::photos().at("evaluation").items()) {
    const std::string file = name;
    INFO(file);
    const TemporaryFolder folder;
    const size_t x = name.find('x');
    const Image image = golden::picture("evaluation", std::stoll(name.substr(0, x)), std::stoll(name.substr(x + 1)));
    const PhotoSet photo = photo_files({folder.write("p.ppm", ppm_of(image))}, {"a"});
    const PhotoSource source(photo, {.size = 16, .shown = 16.0 / 18});
    // Pillow rounds to bytes twice; a byte is 1 / 255 / 0.224 here.
    CHECK(golden::largest_difference(make(source, 0), expected) < 1.1 / 255 / 0.224);
  }
}

TEST_CASE(
    "augmented crops lie in the picture, fill at least 8 % of it and reach all of it, mirrored half of the time") {
  const TemporaryFolder folder;
  // Red tells the row, green the column: from a crop's corners its place can be read.
  Image image{.height = 100, .width = 200, .channels = 3, .pixels = {}};
  for (int y = 0; y < 100; ++y)
    for (int x = 0; x < 200; ++x)
      for (int value : {y, x, 0}) image.pixels.push_back(static_cast<uint8_t>(value));
  const PhotoSet photo = photo_files({folder.write("p.ppm", ppm_of(image))}, {"a"});
  const PhotoSource source(photo, {.size = 8, .augment = true, .normalization = {}});
  int mirrored = 0;
  double least = 1, most = 0, lowest = 1e9, highest = 0, leftmost = 1e9, rightmost = 0;
  constexpr int draws = 2000;
  for (int draw = 0; draw < draws; ++draw) {
    const std::vector<float> out = make(source, 0, static_cast<uint64_t>(draw));
    // Centers of the second and the seventh of eight pixels are five eighths of the crop apart: no edge is near.
    const auto at = [&](int64_t y, int64_t x, int64_t c) {
      return 255 * double{out[static_cast<size_t>((y * 8 + x) * 3 + c)]};
    };
    const double down = (at(6, 3, 0) - at(1, 3, 0)) / 5 * 8, across = (at(3, 6, 1) - at(3, 1, 1)) / 5 * 8;
    mirrored += across < 0;
    const double area = down * std::abs(across) / (100 * 200), ratio = std::abs(across) / down;
    least = std::min(least, area);
    most = std::max(most, area);
    const bool whole_height = down > 98;  // then the ratio may be any that fits
    CHECK((whole_height || (ratio > 0.7 && ratio < 1.4)));
    const double middle = (at(3, 3, 0) + at(4, 3, 0)) / 2 + 0.5, center = (at(3, 3, 1) + at(3, 4, 1)) / 2 + 0.5;
    lowest = std::min(lowest, middle - down / 2);
    highest = std::max(highest, middle + down / 2);
    leftmost = std::min(leftmost, center - std::abs(across) / 2);
    rightmost = std::max(rightmost, center + std::abs(across) / 2);
  }
  CHECK(least > 0.07);
  CHECK(least < 0.1);
  CHECK(most > 0.6);  // 100 x 133 of 100 x 200 is the most that fits
  CHECK(most < 0.68);
  CHECK(std::abs(lowest) < 1);
  CHECK(std::abs(highest - 100) < 1);
  CHECK(std::abs(leftmost) < 2);
  CHECK(std::abs(rightmost - 200) < 2);
  CHECK(std::abs(mirrored - draws / 2) < 5 * std::sqrt(draws / 4.0));
}

TEST_CASE("a normalization may have means, deviations, both or neither, as a Dataset's") {
  const TemporaryFolder folder;
  const std::vector<uint8_t> pixel = {255, 51, 102};
  const PhotoSet photo =
      photo_files({folder.write("p.ppm", ppm_of({.height = 1, .width = 1, .channels = 3, .pixels = pixel}))}, {"a"});
  const std::vector<double> none, mean = {0.5, 0.1, 0.2}, std = {0.25, 2, 4};
  for (const Normalization& normalization : {Normalization{none, none}, {mean, none}, {none, std}, {mean, std}}) {
    const PhotoSource source(photo, {.size = 1, .normalization = normalization});
    float expected[3];
    ImageTransform(source.info(), normalization, Augment::none).apply(pixel, {}, expected);
    const std::vector<float> out = make(source, 0);
    for (size_t c = 0; c < 3; ++c) CHECK(out[c] == doctest::Approx(expected[c]).epsilon(1e-6));
  }
}

TEST_CASE("a picture too long for any crop shows its middle") {
  const TemporaryFolder folder;
  Image image{.height = 2, .width = 400, .channels = 3, .pixels = {}};
  for (int i = 0; i < 2 * 400; ++i)
    for (int c = 0; c < 3; ++c) image.pixels.push_back(static_cast<uint8_t>(i % 400 / 2));
  const PhotoSet photo = photo_files({folder.write("p.ppm", ppm_of(image))}, {"a"});
  const PhotoSource source(photo, {.size = 2, .augment = true, .normalization = {}});
  for (float value : make(source, 0)) CHECK(value * 255 == doctest::Approx(99.5).epsilon(0.02));
  Image tall{.height = 400, .width = 2, .channels = 3, .pixels = {}};
  for (int i = 0; i < 400 * 2; ++i)
    for (int c = 0; c < 3; ++c) tall.pixels.push_back(static_cast<uint8_t>(i / 4));
  const PhotoSet other = photo_files({folder.write("t.ppm", ppm_of(tall))}, {"a"});
  const PhotoSource upright(other, {.size = 2, .augment = true, .normalization = {}});
  for (float value : make(upright, 0)) CHECK(value * 255 == doctest::Approx(99.5).epsilon(0.02));
}

TEST_CASE("the middle of a picture too long for any crop is four thirds of its shorter side long") {
  // 20 * 4 / 3 rounded is 27; no crop of all the area is so narrow. The first of two pixels is the mean of the 27 by a
  // triangle of half width 13.5 around their quarter, 6.75, and the second is its mirror image.
  double mean = 0, weights = 0;
  for (int k = 0; k < 27; ++k) {
    const double weight = std::max(0.0, 1 - std::abs(k + 0.5 - 6.75) / 13.5);
    weights += weight;
    mean += weight * k;
  }
  mean /= weights;
  const TemporaryFolder folder;
  for (const bool wide : {false, true}) {
    Image image{.height = wide ? 20 : 200, .width = wide ? 200 : 20, .channels = 3, .pixels = {}};
    for (int64_t y = 0; y < image.height; ++y)
      for (int64_t x = 0; x < image.width; ++x)
        for (int c = 0; c < 3; ++c) image.pixels.push_back(static_cast<uint8_t>(wide ? x : y));
    const PhotoSet photo = photo_files({folder.write(wide ? "w.ppm" : "t.ppm", ppm_of(image))}, {"a"});
    const PhotoSource source(photo, {.size = 2, .augment = true, .least_area = 1, .normalization = {}});
    const std::vector<float> out = make(source, 0);
    CHECK(255 * std::abs(double{out[wide ? 3 : 6]} - double{out[0]}) == doctest::Approx(26 - 2 * mean));
  }
}

TEST_CASE("hues turn both ways, and no color turns into its opposite by saturation") {
  const TemporaryFolder folder;
  Image red{.height = 4, .width = 4, .channels = 3, .pixels = {}};
  for (int i = 0; i < 16; ++i)
    for (int value : {200, 40, 40}) red.pixels.push_back(static_cast<uint8_t>(value));
  const PhotoSet photo = photo_files({folder.write("p.ppm", ppm_of(red))}, {"a"});
  const PhotoSource turned(photo, {.size = 2, .augment = true, .jitter = {.hue = 0.1}, .normalization = {}});
  const PhotoSource strong(photo, {.size = 2, .augment = true, .jitter = {.saturation = 2}, .normalization = {}});
  int to_green = 0, to_blue = 0;
  for (uint64_t draw = 0; draw < 100; ++draw) {
    const std::vector<float> hue = make(turned, 0, draw), saturation = make(strong, 0, draw);
    ++(hue[1] > hue[2] ? to_green : to_blue);
    CHECK(saturation[0] >= saturation[1]);
  }
  CHECK(std::min(to_green, to_blue) > 25);  // five standard deviations of 100 fair draws below 50
}

TEST_CASE("the side that is shown in evaluation is rounded to the nearest pixel") {
  // 15 of 15 / 0.85 = 17.6, so of 18: of 36 rows every two make one, and as 1.5 is rounded to the even 2 the first
  // that is shown is of rows 4 and 5. On a ramp the triangle's mean is its center, 4.5.
  const TemporaryFolder folder;
  Image ramp{.height = 36, .width = 36, .channels = 3, .pixels = {}};
  for (int i = 0; i < 36 * 36; ++i)
    for (int c = 0; c < 3; ++c) ramp.pixels.push_back(static_cast<uint8_t>(4 * (i / 36)));
  const PhotoSet photo = photo_files({folder.write("p.ppm", ppm_of(ramp))}, {"a"});
  const PhotoSource source(photo, {.size = 15, .shown = 0.85, .normalization = {}});
  CHECK(255 * double{make(source, 0)[0]} == doctest::Approx(4 * 4.5));
}

TEST_CASE("two photographs alike are cropped apart in one batch") {
  const TemporaryFolder folder;
  const std::string bytes = ppm_of(golden::picture("alike", 30, 50));
  std::vector<std::string> files;
  for (const char* name : {"0.ppm", "1.ppm", "2.ppm", "3.ppm"}) files.push_back(folder.write(name, bytes));
  const auto source =
      std::make_shared<PhotoSource>(photo_files(files, {"a"}), PhotoOptions{.size = 4, .augment = true});
  const std::vector<float> images = all_batches(Loader(source, {.batch = 4, .shuffle = false}))[0].images;
  for (std::ptrdiff_t i = 1; i < 4; ++i)
    CHECK_FALSE(std::equal(images.begin(), images.begin() + 48, images.begin() + 48 * i));
}

TEST_CASE("a change of hue leaves gray as it is") {
  std::vector<float> gray(6, 0.25f);
  change_hue(gray.data(), 2, 0.3f);
  CHECK(gray == std::vector<float>(6, 0.25f));
}

TEST_CASE("batches of photographs are the same for any number of workers, and differ between epochs") {
  const TemporaryFolder folder;
  const PhotoSet photos = noise(folder);
  const PhotoOptions options{.size = 12, .augment = true, .jitter = {0.4, 0.4, 0.4, 0.1}};
  const auto batches = [&](int workers, int64_t epoch) {
    return all_batches(
        Loader(std::make_shared<PhotoSource>(photos, options), {.batch = 4, .seed = 3, .workers = workers}), epoch);
  };
  const std::vector<BatchValues> alone = batches(0, 0);
  CHECK(alone.size() == 2);
  CHECK(alone[0].images.size() == 4 * 3 * 12 * 12);
  for (int workers : {1, 3}) CHECK(batches(workers, 0) == alone);
  CHECK(batches(0, 1) != alone);
}

TEST_CASE("a batch larger than the data set is one batch with all images") {
  const TemporaryFolder folder;
  const std::vector<BatchValues> batches =
      all_batches(Loader(std::make_shared<PhotoSource>(noise(folder), PhotoOptions{.size = 8}), {.batch = 100}));
  REQUIRE(batches.size() == 1);
  CHECK(batches[0].labels.size() == 6);
}

TEST_CASE("a damaged photograph stops the loader, or is left out and reported once, by name") {
  const TemporaryFolder folder;
  noise(folder);
  folder.write("tree/train/b/1.ppm", "no picture");
  const PhotoSet photos = read_photo_folder(folder / "tree").train;
  const LoaderOptions loading{.batch = 4, .shuffle = false, .workers = 2};
  const std::string error =
      error_of([&] { all_batches(Loader(std::make_shared<PhotoSource>(photos, PhotoOptions{.size = 8}), loading)); });
  CHECK(contains(error, "train/b/1.ppm is not a"));

  std::vector<std::string> messages;
  std::mutex mutex;
  const PhotoOptions options{.size = 8, .on_damaged = [&](const std::string& message) {
                               const std::lock_guard lock(mutex);
                               messages.push_back(message);
                             }};
  const Loader loader(std::make_shared<PhotoSource>(photos, options), loading);
  for (int64_t epoch : {0, 1}) {
    const std::vector<BatchValues> batches = all_batches(loader, epoch);
    REQUIRE(batches.size() == 2);
    CHECK(batches[0].labels == std::vector<int64_t>{0, 0, 0, 1});
    CHECK(batches[1].labels == std::vector<int64_t>{1});
    CHECK(batches[1].images.size() == 3 * 8 * 8);
  }
  REQUIRE(messages.size() == 1);
  CHECK(contains(messages[0], "train/b/1.ppm"));

  folder.write("tree/train/b/2.ppm", "nor this");
  CHECK(contains(error_of([&] { all_batches(Loader(std::make_shared<PhotoSource>(photos, options), loading)); }),
                 "all 2 images of a batch of tree were left out"));
}

TEST_CASE("single changes of color agree with torchvision's in float64") {
  const Image image = golden::picture("colours", 6, 7);
  const auto check = [&](const char* name, void (*change)(float*, int64_t, float), float amount) {
    const std::string file = name;
    INFO(file);
    std::vector<float> values(image.pixels.begin(), image.pixels.end());
    change(values.data(), 6 * 7, amount);
    // torchvision's weights of gray are rounded to four digits: 0.2989 for 0.299, so 0.0001 * 255 * 0.7 at most.
    CHECK(golden::largest_difference(values, golden::photos().at("colours").at(name)) < 0.02);
  };
  check("brightness", change_brightness, 1.4f);
  check("contrast", change_contrast, 0.5f);
  check("saturation", change_saturation, 1.7f);
  check("hue", change_hue, 0.2f);
  check("hue back", change_hue, -0.45f);
}

TEST_CASE("colors are jittered within their bounds, and not at all by default") {
  const TemporaryFolder folder;
  const Image gray{.height = 8, .width = 8, .channels = 3, .pixels = std::vector<uint8_t>(192, 100)};
  const PhotoSet photo = photo_files({folder.write("p.ppm", ppm_of(gray))}, {"a"});
  const PhotoSource plain(photo, {.size = 4, .augment = true, .normalization = {}});
  const PhotoSource bright(photo, {.size = 4, .augment = true, .jitter = {.brightness = 0.5}, .normalization = {}});
  double low = 1e9, high = 0;
  for (uint64_t draw = 0; draw < 300; ++draw) {
    CHECK(make(plain, 0, draw)[0] == doctest::Approx(100 / 255.0));
    const double value = 255 * double{make(bright, 0, draw)[0]};
    low = std::min(low, value);
    high = std::max(high, value);
  }
  CHECK(low > 49.9);
  CHECK(low < 55);
  CHECK(high > 145);
  CHECK(high < 150.1);
}

TEST_CASE("options outside their ranges are refused") {
  const PhotoSet none;
  CHECK(contains(error_of([&] { PhotoSource(none, {.size = 0}); }), "size 0"));
  CHECK(contains(error_of([&] { PhotoSource(none, {.least_area = 0}); }), "least_area 0"));
  CHECK(contains(error_of([&] { PhotoSource(none, {.jitter = {.hue = 0.6}}); }), "0.6"));
  CHECK(contains(error_of([&] { PhotoSource(none, {.jitter = {.hue = -0.1}}); }), "-0.1"));
  CHECK(contains(error_of([&] { PhotoSource(none, {.shown = 1.5}); }), "shown 1.5"));
  CHECK(contains(error_of([&] { PhotoSource(none, {.normalization = {.mean = {0}, .std = {1}}}); }), "normalization"));
}
