#include <doctest/doctest.h>

#include "core/error.h"
#include "core/ops.h"

using namespace gradus;

TEST_CASE("a picked image is the stored one through the table, shifted and mirrored as its own draws say") {
  // Two images of 1 x 3 x 4 pixels whose bytes say where they are; the table adds 1000 per channel.
  std::vector<uint8_t> bytes;
  for (int i = 0; i < 24; ++i) bytes.push_back(static_cast<uint8_t>(10 + i));
  std::vector<float> values;
  for (int byte = 0; byte < 256; ++byte) values.push_back(static_cast<float>(1000 + byte));
  const Tensor pixels = Tensor::from(bytes, {2, 1, 3, 4}), table = Tensor::from(values, {1, 256});
  const Tensor numbers = Tensor::from<int64_t>({1, 0, 1}, {3});
  const std::vector<float> plain = pick_images(pixels, numbers, table).to_vector<float>();
  for (size_t i = 0; i < 12; ++i) {
    CHECK(plain[i] == static_cast<float>(1022 + i));
    CHECK(plain[12 + i] == static_cast<float>(1010 + i));
    CHECK(plain[24 + i] == plain[i]);
  }
  const RandomCrop crop{.padding = 1, .key = {.seed = 4, .stream = 9, .offset = 2}};
  const std::vector<float> cropped = pick_images(pixels, numbers, table, crop).to_vector<float>();
  for (const int64_t image : {0, 1}) {
    const auto draws = philox({4, 9, 2 + (static_cast<uint64_t>(image) << 32)});
    const int64_t top = static_cast<int64_t>(draws[0] / 0x1p32 * 3), left = static_cast<int64_t>(draws[1] / 0x1p32 * 3);
    const int64_t begin = image == 1 ? 0 : 12;
    for (int64_t y = 0; y < 3; ++y)
      for (int64_t x = 0; x < 4; ++x) {
        const int64_t row = y + top - 1, column = (draws[2] % 2 == 1 ? 3 - x : x) + left - 1;
        const bool inside = row >= 0 && row < 3 && column >= 0 && column < 4;
        const auto expected = inside ? static_cast<float>(1010 + 12 * image + 4 * row + column) : 1000.0f;
        CHECK(cropped[static_cast<size_t>(begin + 4 * y + x)] == expected);
      }
  }
}

TEST_CASE("picking images says what does not fit") {
  const Tensor pixels = Tensor::zeros({2, 3, 4, 4}, DType::uint8), table = Tensor::zeros({3, 256});
  const Tensor numbers = Tensor::zeros({1}, DType::int64);
  CHECK_THROWS_WITH_AS(pick_images(numbers, numbers, table),
                       "[pick_images] the pixels needs 4 dimensions [all,C,H,W], got [1]", Error);
  CHECK_THROWS_WITH_AS(pick_images(pixels, pixels, table),
                       "[pick_images] the list of numbers needs 1 dimensions [n], got [2,3,4,4]", Error);
  CHECK_THROWS_WITH_AS(pick_images(pixels, numbers, Tensor::zeros({1, 256})),
                       "[pick_images] the table needs shape [3,256], got [1,256]", Error);
  CHECK_THROWS_WITH_AS(pick_images(cast(pixels, DType::float32), numbers, table),
                       "[pick_images] expects pixels of uint8, numbers of int64 and a table of float32, got "
                       "float32, int64 and float32",
                       Error);
  CHECK_THROWS_WITH_AS(pick_images(pixels, numbers, table, {.padding = -1}),
                       "[pick_images] the padding must be 0 or more, got -1", Error);
}
