// Products of a warp: what lanes hold of the operands, against plain sums.
#include "core/cuda/warp.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "core/dtype.h"

using namespace gradus;
using namespace gradus::cuda;

namespace {

constexpr int rows = 16, columns = 8, most_terms = 16;

/// Small whole numbers, which every format holds exactly, and all of whose sums are exact.
int left_at(int row, int term) { return (row * 7 + term * 5 + row * term) % 23 - 11; }
int right_at(int term, int column) { return (term * 11 + column * 3 + term * column) % 19 - 9; }
int start_at(int row, int column) { return row * 10 - column; }

uint32_t tf32_bits(int value) { return std::bit_cast<uint32_t>(static_cast<float>(value)); }
uint32_t bf16_pair(int low, int high) {
  return uint32_t{bfloat16(static_cast<float>(high)).bits} << 16 | bfloat16(static_cast<float>(low)).bits;
}

PerLane<Sums> starts() {
  PerLane<Sums> sums;
  for (int lane = 0; lane < warp_lanes; ++lane) {
    const int g = lane / 4, j = lane % 4;
    const int at[4] = {start_at(g, 2 * j), start_at(g, 2 * j + 1), start_at(g + 8, 2 * j), start_at(g + 8, 2 * j + 1)};
    for (int k = 0; k < 4; ++k) sums[lane].at[k] = static_cast<float>(at[k]);
  }
  return sums;
}

void check(const PerLane<Sums>& sums, int terms) {
  for (int row = 0; row < rows; ++row)
    for (int column = 0; column < columns; ++column) {
      int sum = start_at(row, column);
      for (int term = 0; term < terms; ++term) sum += left_at(row, term) * right_at(term, column);
      const int lane = row % 8 * 4 + column / 2;
      CHECK(sums[lane].at[row / 8 * 2 + column % 2] == static_cast<float>(sum));
    }
}

}  // namespace

TEST_CASE("a warp's product of TF32 is the plain one, with operands where the lanes hold them") {
  PerLane<Left> left;
  PerLane<Right> right;
  for (int lane = 0; lane < warp_lanes; ++lane) {
    const int g = lane / 4, j = lane % 4;
    left[lane] = {{tf32_bits(left_at(g, j)), tf32_bits(left_at(g + 8, j)), tf32_bits(left_at(g, j + 4)),
                   tf32_bits(left_at(g + 8, j + 4))}};
    right[lane] = {{tf32_bits(right_at(j, g)), tf32_bits(right_at(j + 4, g))}};
  }
  PerLane<Sums> sums = starts();
  multiply_tf32(sums, left, right);
  check(sums, 8);
}

TEST_CASE("a warp's product of bfloat16 is the plain one, with pairs of operands where the lanes hold them") {
  PerLane<Left> left;
  PerLane<Right> right;
  for (int lane = 0; lane < warp_lanes; ++lane) {
    const int g = lane / 4, j = lane % 4;
    const auto of_left = [&](int row, int term) { return bf16_pair(left_at(row, term), left_at(row, term + 1)); };
    const auto of_right = [&](int term) { return bf16_pair(right_at(term, g), right_at(term + 1, g)); };
    left[lane] = {{of_left(g, 2 * j), of_left(g + 8, 2 * j), of_left(g, 2 * j + 8), of_left(g + 8, 2 * j + 8)}};
    right[lane] = {{of_right(2 * j), of_right(2 * j + 8)}};
  }
  PerLane<Sums> sums = starts();
  multiply_bf16(sums, left, right);
  check(sums, most_terms);
}

TEST_CASE("rounding to TF32 goes to the nearest of 11 bits, from halves away from zero, and keeps what is no number") {
  const auto rounded = [](float value) { return std::bit_cast<float>(tf32_of(value)); };
  const float step = std::ldexp(1.0f, -10);
  CHECK(rounded(1 + 0.49f * step) == 1);
  CHECK(rounded(1 + 0.5f * step) == 1 + step);
  CHECK(rounded(-1 - 0.5f * step) == -1 - step);
  CHECK(rounded(2 - 0.25f * step) == 2);
  CHECK(rounded(-0.0f) == 0);
  CHECK(std::isnan(rounded(NAN)));
  CHECK(rounded(INFINITY) == INFINITY);
}
