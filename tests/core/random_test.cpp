#include "core/random.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "core/error.h"
#include "core/ops.h"

using namespace gradus;

TEST_CASE("philox gives the known answers of its authors") {  // Random123's kat_vectors, philox4x32-10
  using Block = std::array<uint32_t, 4>;
  CHECK(philox({0, 0, 0}) == Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({~0ull, ~0ull, ~0ull}) == Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88}) ==
        Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("equal keys give equal tensors and other streams other tensors") {
  const auto a = random_normal({1000}, 0, 1, {1, 2, 3}).to_vector<float>();
  CHECK(a == random_normal({1000}, 0, 1, {1, 2, 3}).to_vector<float>());
  CHECK(a != random_normal({1000}, 0, 1, {1, 3, 3}).to_vector<float>());
}

TEST_CASE("a tensor's draws do not depend on its shape or length") {
  const auto whole = random_uniform({40}, 0, 1, {5, 0, 0}).to_vector<float>();
  const auto shorter = random_uniform({3, 5}, 0, 1, {5, 0, 0}).to_vector<float>();
  const auto later = random_uniform({20}, 0, 1, {5, 0, 5}).to_vector<float>();  // five blocks of four further on
  CHECK(std::equal(shorter.begin(), shorter.end(), whole.begin()));
  CHECK(std::equal(later.begin(), later.end(), whole.begin() + 20));
}

TEST_CASE("uniform and normal draws have the moments of their distributions") {
  // n = 2^18: the standard error of the mean is sigma/512, that of the variance sigma^2 sqrt(kurtosis-1)/512; 5 sigma.
  const int n = 1 << 18;
  for (DType dtype : {DType::float32, DType::float64}) {
    double mean = 0, square = 0, low = 1, high = 0;
    auto values = [&](const Tensor& t) {
      std::vector<double> v;
      if (dtype == DType::float64) return t.to_vector<double>();
      for (float x : t.to_vector<float>()) v.push_back(x);
      return v;
    };
    for (double x : values(random_uniform({n}, 0, 1, {7, 0, 0}, dtype))) {
      mean += x / n;
      square += x * x / n;
      low = std::min(low, x);
      high = std::max(high, x);
    }
    CHECK(std::abs(mean - 0.5) < 5 * std::sqrt(1 / 12.0) / 512);
    CHECK(std::abs(square - mean * mean - 1 / 12.0) < 5 * (1 / 12.0) * std::sqrt(0.8) / 512);
    CHECK(low >= 0);
    CHECK(high < 1);
    mean = square = 0;
    for (double x : values(random_normal({n}, 2, 3, {7, 1, 0}, dtype))) {
      mean += x / n;
      square += (x - 2) * (x - 2) / n;
    }
    CHECK(std::abs(mean - 2) < 5 * 3.0 / 512);
    CHECK(std::abs(square - 9) < 5 * 9 * std::sqrt(2.0) / 512);
  }
}

TEST_CASE("a generator's bounded draws are even and its forks do not overlap") {
  Generator g(3);
  int counts[6] = {};
  for (int i = 0; i < 60000; ++i) ++counts[g.below(6)];
  CHECK(g.below(1) == 0);
  CHECK_THROWS_WITH_AS(g.below(0), "[random] there is no number below 0", Error);
  for (int c : counts) CHECK(std::abs(c - 10000) < 5 * std::sqrt(60000 * (1 / 6.0) * (5 / 6.0)));
  const RandomKey a = g.fork(), b = g.fork();
  CHECK(b.offset - a.offset >= (uint64_t{1} << 32));
  std::set<uint32_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(g.next_u32());
  CHECK(seen.size() > 990);
}

TEST_CASE("distributions that do not exist are refused") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_WITH_AS(random_uniform({2}, 1, 0, {}), "[random_uniform] needs low <= high, got 1 and 0", Error);
  CHECK_THROWS_AS(random_uniform({2}, 0, nan, {}), Error);
  CHECK(random_uniform({2}, 3, 3, {}).to_vector<float>() == std::vector<float>{3, 3});
  CHECK_THROWS_WITH_AS(random_normal({2}, 0, -1, {}), "[random_normal] std must not be negative, got -1", Error);
  CHECK_THROWS_AS(random_normal({2}, 0, nan, {}), Error);
  CHECK(random_normal({2}, 3, 0, {}).to_vector<float>() == std::vector<float>{3, 3});
}

TEST_CASE("random integers are uniform in their range, of any size") {
  const auto dice = random_integers({60000}, 1, 7, {.seed = 3}).to_vector<int64_t>();
  std::array<int, 6> counts{};
  for (const int64_t d : dice) {
    REQUIRE(d >= 1);
    REQUIRE(d <= 6);
    ++counts[static_cast<size_t>(d - 1)];
  }
  for (const int count : counts) CHECK(std::abs(count - 10000) < 5 * std::sqrt(10000 * 5 / 6.0));
  CHECK(random_integers({2}, -3, -2, {}).to_vector<int64_t>() == std::vector<int64_t>{-3, -3});
  const auto wide = random_integers({1000}, -5, (int64_t{1} << 32) - 5, {.seed = 4}).to_vector<int64_t>();
  CHECK(std::ranges::count_if(wide, [](int64_t i) { return i % 2 == 0; }) > 400);
  CHECK(std::ranges::count_if(wide, [](int64_t i) { return i > int64_t{1} << 31; }) > 400);
  CHECK_THROWS_WITH_AS(random_integers({1}, 2, 2, {}), "[random_integers] needs low < high, got 2 and 2", Error);
  CHECK_THROWS_WITH_AS(random_integers({1}, 0, (int64_t{1} << 32) + 1, {}),
                       "[random_integers] draws from at most 2^32 numbers, got 4294967297", Error);
}

TEST_CASE("random classes come as often as softmax says, and never one of -infinity") {
  const float never = -std::numeric_limits<float>::infinity();
  const Tensor logits =
      expand(Tensor::from<float>({std::log(1.0f), std::log(2.0f), never, std::log(5.0f)}, {4}), {8, 5000, 4});
  const Tensor classes = random_categorical(logits, {.seed = 5});
  CHECK(classes.shape() == Shape{8, 5000});
  std::array<int, 4> counts{};
  for (const int64_t c : classes.to_vector<int64_t>()) ++counts[static_cast<size_t>(c)];
  CHECK(counts[2] == 0);
  for (const auto& [c, share] : {std::pair{0, 0.125}, {1, 0.25}, {3, 0.625}})
    CHECK(std::abs(counts[static_cast<size_t>(c)] - 40000 * share) < 5 * std::sqrt(40000 * share * (1 - share)));
}
