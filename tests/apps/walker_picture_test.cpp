#include <doctest/doctest.h>
#include <gif_lib.h>

#include <filesystem>

#include "apps/walker/draw.h"
#include "core/file.h"
#include "data/image.h"
#include "tests/data/temporary_folder.h"

namespace gradus::walker {
namespace {

// A red square of 2 x 2 pixels at (1, 1) of 4 x 3 white ones, and a blue one that covers half of the last column.
Picture sample() {
  Picture picture{4, 3, {255, 255, 255}, {}};
  picture.polygons.push_back({{{1, 1}, {3, 1}, {3, 3}, {1, 3}}, {255, 0, 0}});
  picture.polygons.push_back({{{3.5, 0}, {4, 0}, {4, 3}, {3.5, 3}}, {0, 0, 255}});
  return picture;
}

Color pixel(const std::vector<uint8_t>& image, size_t x, size_t y) {
  const size_t at = (y * 4 + x) * 3;
  return {image[at], image[at + 1], image[at + 2]};
}

}  // namespace

TEST_CASE("pixels inside a polygon take its color, and those at its edge a part of it") {
  const std::vector<uint8_t> image = pixels(sample());
  REQUIRE(image.size() == 36);
  CHECK(pixel(image, 0, 0) == Color{255, 255, 255});
  CHECK(pixel(image, 1, 1) == Color{255, 0, 0});
  CHECK(pixel(image, 2, 2) == Color{255, 0, 0});
  CHECK(pixel(image, 1, 0) == Color{255, 255, 255});
  CHECK(pixel(image, 3, 1) == Color{128, 128, 255});
}

TEST_CASE("SVG lists the polygons in their order") {
  const std::string text = svg(sample());
  CHECK(text.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"4\" height=\"3\""));
  CHECK(text.find("fill=\"#ff0000\" points=\"1.00,1.00 3.00,1.00 3.00,3.00 1.00,3.00\"") < text.find("#0000ff"));
  CHECK(text.ends_with("</svg>\n"));
}

TEST_CASE("a GIF reads back with all its frames and their colors, and repeats") {
  const TemporaryFolder folder;
  Picture second = sample();
  second.polygons.pop_back();
  write_gif(folder / "two.gif", {sample(), second}, 4);
  int error = 0;
  GifFileType* gif = DGifOpenFileName((folder / "two.gif").c_str(), &error);
  REQUIRE(gif);
  REQUIRE(DGifSlurp(gif) == GIF_OK);
  CHECK(gif->SWidth == 4);
  CHECK(gif->SHeight == 3);
  REQUIRE(gif->ImageCount == 2);
  for (int frame : {0, 1}) {
    const std::vector<uint8_t> expected = pixels(frame == 0 ? sample() : second);
    for (size_t i = 0; i < 12; ++i) {
      const GifColorType& color = gif->SColorMap->Colors[gif->SavedImages[frame].RasterBits[i]];
      CHECK(Color{color.Red, color.Green, color.Blue} ==
            Color{expected[3 * i], expected[3 * i + 1], expected[3 * i + 2]});
    }
    GraphicsControlBlock control{};
    REQUIRE(DGifSavedExtensionToGCB(gif, frame, &control) == GIF_OK);
    CHECK(control.DelayTime == 4);
  }
  DGifCloseFile(gif, &error);
  CHECK(read_file(folder / "two.gif").find("NETSCAPE2.0") != std::string::npos);
}

TEST_CASE("a PNG file reads back with its pixels; a folder that is missing is named") {
  const TemporaryFolder folder;
  write_png(folder / "one.png", sample());
  const Image image = read_image(folder / "one.png");
  CHECK(image.width == 4);
  CHECK(image.height == 3);
  CHECK(image.pixels == pixels(sample()));
  CHECK_THROWS_WITH_AS(write_png(folder / "nowhere/one.png", sample()), doctest::Contains("nowhere/one.png"), Error);
}

TEST_CASE("a moment shows the hull where the walker is, above the ground") {
  Environment environment({.force = 0});
  environment.reset(0, 0);
  const Picture picture = draw_moment(environment.terrain(), environment.pose());
  const std::vector<uint8_t> image = pixels(picture);
  const auto at = [&](int x, int y) {
    const size_t i = (static_cast<size_t>(y) * 600 + static_cast<size_t>(x)) * 3;
    return Color{image[i], image[i + 1], image[i + 2]};
  };
  CHECK(at(120, 400 - 168) == Color{110, 90, 190});  // the hull's middle: 4 m from the left, 5.6 m up
  CHECK(at(300, 390) == Color{120, 160, 90});
  CHECK(at(300, 10) == Color{232, 240, 250});
}

}  // namespace gradus::walker
