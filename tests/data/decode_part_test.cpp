#include "data/decode_part.h"

#include <doctest/doctest.h>

#include "core/random.h"
#include "data/file_source.h"
#include "data/image_tree.h"
#include "data/jpeg.h"
#include "tests/data/photo_golden.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

Crop box_of(int64_t top, int64_t left, int64_t height, int64_t width) {
  return {.box = {static_cast<double>(top), static_cast<double>(left), static_cast<double>(height),
                  static_cast<double>(width)}};
}

PicturePart decode(std::span<const uint8_t> bytes, const Crop& crop, int64_t side = 1000) {
  return decode_part(
      bytes, "a.jpg", [&](int64_t, int64_t) { return crop; }, side, side);
}

/// The pixels of the region.
std::vector<uint8_t> pixels_of(const PicturePart& part) {
  std::vector<uint8_t> pixels;
  const PixelView view = part.view();
  for (int64_t y = 0; y < view.height; ++y)
    pixels.insert(pixels.end(), view.pixels + y * view.stride, view.pixels + y * view.stride + 3 * view.width);
  return pixels;
}

bool scaled_decoding() {
  const std::vector<uint8_t> jpeg = golden::from_base64(golden::photos().at("jpeg").at("4:4:4").at("file"));
  if (decode_jpeg_part(
          jpeg, "a.jpg", [](int64_t h, int64_t w) { return box_of(0, 0, h, w); }, 1, 1))
    return true;
  MESSAGE("skipped: this build has no libjpeg");
  return false;
}

}  // namespace

TEST_CASE("every kind of JPEG is decoded to RGB as Pillow does: gray, CMYK, progressive, each subsampling") {
  for (const auto& [name, expected] : golden::photos().at("jpeg").items()) {
    const std::string kind = name;
    INFO(kind);
    const int64_t height = expected.at("height"), width = expected.at("width");
    const PicturePart part = decode(golden::from_base64(expected.at("file")), box_of(0, 0, height, width));
    CHECK(part.image.channels == 3);
    CHECK(part.image.height == height);
    // Pillow rests on the same library; stb_image interpolates colors otherwise, and both round CMYK.
    CHECK(golden::largest_difference(pixels_of(part), expected.at("pixels")) <= (name == "cmyk"      ? 2
                                                                                 : scaled_decoding() ? 0
                                                                                                     : 8));
  }
}

TEST_CASE("a part of a JPEG is what the whole shows there, to the byte") {
  for (const auto& [name, expected] : golden::photos().at("jpeg").items()) {
    const std::vector<uint8_t> file = golden::from_base64(expected.at("file"));
    const int64_t height = expected.at("height"), width = expected.at("width");
    const std::vector<uint8_t> whole = pixels_of(decode(file, box_of(0, 0, height, width)));
    for (int64_t top : {0, 1, 7, 16, 30})
      for (int64_t left : {0, 1, 15, 16, 17, 33, 50}) {
        const int64_t h = std::min<int64_t>(11, height - top), w = std::min<int64_t>(9, width - left);
        const std::string kind = name;
        INFO(kind, " at ", top, ", ", left);
        const PicturePart part = decode(file, box_of(top, left, h, w));
        CHECK(part.region.height == h);
        CHECK(part.region.width == w);
        std::vector<uint8_t> expected_pixels;
        for (int64_t y = top; y < top + h; ++y)
          expected_pixels.insert(expected_pixels.end(), whole.begin() + (y * width + left) * 3,
                                 whole.begin() + (y * width + left + w) * 3);
        CHECK(pixels_of(part) == expected_pixels);
      }
  }
}

TEST_CASE("a JPEG that is shown small is decoded small, and looks the same") {
  if (!scaled_decoding()) return;
  const auto& expected = golden::photos().at("jpeg").at("4:4:4");
  const std::vector<uint8_t> file = golden::from_base64(expected.at("file"));
  for (const auto& [side, shrink] : {std::pair{43, 1}, {22, 1}, {21, 2}, {10, 4}, {5, 8}}) {
    const int shown = side;
    INFO(shown);
    const PicturePart part = decode(file, box_of(0, 0, 43, 57), side);
    CHECK(part.image.height == (43 + shrink - 1) / shrink);
    std::vector<float> small(static_cast<size_t>(side * side * 3)), full = small;
    resample(part.view(), part.region.box, side, side, false, small.data());
    const PicturePart whole = decode(file, box_of(0, 0, 43, 57));
    resample(whole.view(), whole.region.box, side, side, false, full.data());
    double sum = 0;
    for (size_t i = 0; i < small.size(); ++i) sum += std::abs(small[i] - full[i]);
    // Two filters of nearly equal width: on this picture, whose values differ by some ten between neighbors, they
    // stay within a few steps of each other; a shift by one pixel would be twice that.
    CHECK(sum / static_cast<double>(small.size()) < 3);
  }
}

TEST_CASE("a JPEG that is cut, or whose data make no sense, is an error with its name") {
  if (!scaled_decoding()) return;
  std::vector<uint8_t> file = golden::from_base64(golden::photos().at("jpeg").at("4:2:0").at("file"));
  const auto error = [&] { return error_of([&] { decode(file, box_of(0, 0, 43, 57)); }); };
  const std::vector<uint8_t> intact = file;
  file.resize(file.size() - 40);
  CHECK(contains(error(), "a.jpg ends before its last scan does"));
  // The end mark is there, but a part before it is missing.
  file = intact;
  file.erase(file.end() - 60, file.end() - 2);
  CHECK(contains(error(), "a.jpg is"));
  file = {0xff, 0xd8, 0xff, 0xd9};
  CHECK(contains(error(), "a.jpg is"));
}

TEST_CASE("other formats are decoded whole and cut") {
  const std::string ppm = std::string("P6 3 2 255\n") + "abcdefghijklmnopqr";
  const PicturePart part = decode(as_bytes(ppm), box_of(1, 1, 1, 2));
  CHECK(pixels_of(part) == std::vector<uint8_t>{'m', 'n', 'o', 'p', 'q', 'r'});
}

TEST_CASE("the photographs at hand: any part equals the whole there, and none fails") {
  const std::string path = shared_data("imagenet-sample.tar");
  if (path.empty()) return;
  const FileSource source(path);
  std::vector<std::string> notes;
  const ImageTree tree = list_splits(source, true, notes);
  REQUIRE(tree.at("train").size() == 120);
  Generator random(7);
  for (const ImageFile& file : tree.at("train")) {
    INFO(file.name);
    Crop crop;
    const auto choose = [&](int64_t height, int64_t width) {
      const auto h = static_cast<int64_t>(random.below(static_cast<uint64_t>(height))) + 1;
      const auto w = static_cast<int64_t>(random.below(static_cast<uint64_t>(width))) + 1;
      crop = box_of(static_cast<int64_t>(random.below(static_cast<uint64_t>(height - h + 1))),
                    static_cast<int64_t>(random.below(static_cast<uint64_t>(width - w + 1))), h, w);
      return crop;
    };
    const PicturePart part = decode_part(bytes_of(file.bytes), file.name, choose, 1 << 20, 1 << 20);
    int64_t width = 0;
    const auto all = [&](int64_t h, int64_t w) {
      width = w;
      return box_of(0, 0, h, w);
    };
    const PicturePart whole = decode_part(bytes_of(file.bytes), file.name, all, 1 << 20, 1 << 20);
    const std::vector<uint8_t> found = pixels_of(part);
    size_t different = 0, at = 0;
    for (auto y = static_cast<int64_t>(crop.box.top); y < static_cast<int64_t>(crop.box.top + crop.box.height); ++y)
      for (int64_t x = 0; x < 3 * static_cast<int64_t>(crop.box.width); ++x)
        if (found[at++] !=
            whole.image.pixels[static_cast<size_t>((y * width + static_cast<int64_t>(crop.box.left)) * 3 + x)])
          ++different;
    CHECK(different == 0);
  }
}
