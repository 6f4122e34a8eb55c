// Statistics against printed tables and numbers worked out by hand.
#include "apps/reproduce/statistics.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace gradus::reproduce;

TEST_CASE("Student's t is that of the printed tables") {
  // Three decimals are printed.
  const std::pair<int64_t, double> table[] = {{1, 12.706}, {2, 4.303},  {4, 2.776},
                                              {9, 2.262},  {30, 2.042}, {100, 1.984}};
  for (const auto& row : table) CHECK(std::abs(student_t_975(row.first) - row.second) < 0.0006);
}

TEST_CASE("mean and deviation of 2, 4, 9 are 5 and the root of 13") {
  const std::vector<double> values{2, 4, 9};
  CHECK(mean(values) == doctest::Approx(5));
  CHECK(standard_deviation(values) == doctest::Approx(std::sqrt(13.0)));
  CHECK(std::isnan(standard_deviation(std::vector<double>{1})));
}

TEST_CASE("a paired difference takes out what the pairs share") {
  // Differences 1, 2, 3: mean 2, sd 1, so 4.303 / sqrt(3) on either side.
  const PairedDifference d = paired_difference(std::vector<double>{11, 52, 93}, std::vector<double>{10, 50, 90});
  CHECK(d.mean == doctest::Approx(2));
  CHECK(d.half_width == doctest::Approx(4.3027 / std::sqrt(3.0)).epsilon(1e-4));
}

TEST_CASE("a paired difference tells apart beyond its interval only, and one pair by no interval") {
  const auto of = [](const std::vector<double>& a) {
    return told(paired_difference(a, std::vector<double>(a.size())));
  };
  // Mean 2 and sd 1: 2.48 on either side; mean 3 and sd 1 likewise.
  CHECK(of({1, 2, 3}) == Told::open);
  CHECK(of({2, 3, 4}) == Told::above);
  CHECK(of({-2, -3, -4}) == Told::below);
  CHECK(of({5}) == Told::one_pair);
  CHECK(of({0}) == Told::one_pair);
  // Equal is what is so in every pair, not a mean of 0; and two numbers that coincide are no certainty.
  CHECK(of({0, 0, 0}) == Told::equal);
  CHECK(of({-1, 0, 1}) == Told::open);
  CHECK(of({1, 1, 1}) == Told::above);
  CHECK(of({1, 1}) == Told::open);
  CHECK(of({0, 0}) == Told::open);
}

TEST_CASE("a verdict has the words of its table, and of a single pair there is none") {
  const auto of = [](const std::vector<double>& a) {
    return in_words(paired_difference(a, std::vector<double>(a.size())), {"above", "below", "equal", "open"});
  };
  CHECK(of({2, 3, 4}) == "above");
  CHECK(of({-2, -3, -4}) == "below");
  CHECK(of({0, 0, 0}) == "equal");
  CHECK(of({1, 2, 3}) == "open");
  CHECK(of({100}) == "no verdict of one seed");
}

TEST_CASE("values descend where each is below the one before, and none is infinite or no number") {
  CHECK(descends(std::vector<double>{3, 2, 1}));
  CHECK(!descends(std::vector<double>{3, 3, 1}));
  CHECK(!descends(std::vector<double>{1, 2}));
  for (const double value : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    CHECK(!descends(std::vector<double>{value, 2}));
    CHECK(!descends(std::vector<double>{2, value}));
  }
}

// With five values both ends are reached by more than 2.5 % of the resamples; with ten, by those of the third.
TEST_CASE("the bootstrap interval of a median spans all of five values, and the third to the eighth of ten") {
  CHECK(median({3, 1, 2}) == 2);
  CHECK(median({4, 1, 2, 3}) == 2.5);
  const Interval five = bootstrap_median(std::vector<double>{50, 10, 40, 20, 30});
  CHECK(five.low == 10);
  CHECK(five.high == 50);
  const Interval ten = bootstrap_median(std::vector<double>{10, 9, 8, 7, 6, 5, 4, 3, 2, 1});
  CHECK(std::abs(ten.low - 3) <= 0.5);
  CHECK(std::abs(ten.high - 8) <= 0.5);
  // All of four values miss the median in 2 of 16 cases.
  CHECK(std::isnan(bootstrap_median(std::vector<double>{1, 2, 3, 4}).low));
  CHECK(std::isnan(bootstrap_median(std::vector<double>{1}).high));
}

TEST_CASE("a training fell back where its last three returns are no nearer to its best than to the floor") {
  CHECK(mean_of_last(std::vector<double>{100, 3, 4, 8}) == 5);
  CHECK(mean_of_last(std::vector<double>{3, 4}) == 3.5);
  // Half way between -100 and 200 lies 50.
  CHECK(!fell_back(std::vector<double>{-90, 200, 50, 50, 51}, -100));
  CHECK(fell_back(std::vector<double>{-90, 200, 50, 50, 50}, -100));
  CHECK(fell_back(std::vector<double>{-90, 200, 50, 50, 49}, -100));
  CHECK(fell_back(std::vector<double>{200, 200, 200, -100, -100, -100}, -100));
  CHECK(!fell_back(std::vector<double>{-95, -96, -97}, -100));
  CHECK(fell_back(std::vector<double>{-100, -100, -100}, -100));  // it never learned
  CHECK(fell_back(std::vector<double>{-95, -110, -110, -110}, -100));
}

TEST_CASE("a curve settles where it stays near its end") {
  CHECK(settles_at(std::vector<double>{5, 10, 7, 9.9, 10.1, 10}, 0.02) == 3);
  CHECK(settles_at(std::vector<double>{1, 1}, 0.02) == 0);
  for (const std::vector<double>& lost : {std::vector<double>{1, std::nan("")}, {1, HUGE_VAL}, {}})
    CHECK(!settles_at(lost, 0.02));
}
