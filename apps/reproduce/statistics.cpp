#include "apps/reproduce/statistics.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/random.h"

namespace gradus::reproduce {
namespace {

// P(T <= t) for t >= 0: with x = sqrt(n) tan(a) the density is proportional to cos(a)^(n-1), and P(|T| <= t) is the
// part of its integral up to atan(t / sqrt(n)) (Simpson's rule; the integrand is smooth for n >= 1).
double student_cdf(double t, int64_t degrees) {
  const auto integral = [&](double to) {
    constexpr int steps = 2000;
    double sum = 0;
    for (int i = 0; i <= steps; ++i) {
      const double weight = i == 0 || i == steps ? 1 : i % 2 == 1 ? 4 : 2;
      sum += weight * std::pow(std::cos(to * i / steps), static_cast<double>(degrees - 1));
    }
    return sum * to / steps / 3;
  };
  constexpr double quarter = 1.5707963267948966;
  return 0.5 + 0.5 * integral(std::atan(t / std::sqrt(static_cast<double>(degrees)))) / integral(quarter);
}

}  // namespace

double student_t_975(int64_t degrees) {
  double low = 0, high = 13;  // 12.7 for one degree, and less for more
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (student_cdf(middle, degrees) < 0.975 ? low : high) = middle;
  }
  return (low + high) / 2;
}

PairedDifference paired_difference(std::span<const double> a, std::span<const double> b) {
  std::vector<double> differences;
  for (size_t i = 0; i < a.size(); ++i) differences.push_back(a[i] - b[i]);
  const auto n = static_cast<double>(a.size());
  if (a.size() < 2) return {mean(differences), std::nan(""), a.size()};
  return {mean(differences),
          student_t_975(static_cast<int64_t>(a.size()) - 1) * standard_deviation(differences) / std::sqrt(n), a.size()};
}

Told told(const PairedDifference& difference) {
  if (difference.pairs < 2) return Told::one_pair;
  if (difference.half_width == 0 && difference.pairs < 3) return Told::open;
  if (difference.half_width == 0 && difference.mean == 0) return Told::equal;
  if (difference.mean - difference.half_width > 0) return Told::above;
  return difference.mean + difference.half_width < 0 ? Told::below : Told::open;
}

std::string in_words(const PairedDifference& difference, const Verdict& verdict) {
  const Told is = told(difference);
  return is == Told::above   ? verdict.above
         : is == Told::below ? verdict.below
         : is == Told::equal ? verdict.equal
         : is == Told::open  ? verdict.open
                             : verdict.one_pair;
}

bool descends(std::span<const double> values) {
  for (size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]) || (i > 0 && !(values[i] < values[i - 1]))) return false;
  return true;
}

Interval bootstrap_median(std::span<const double> values) {
  if (values.size() < fewest_for_interval) return {std::nan(""), std::nan("")};
  constexpr size_t resamples = 2000, tail = resamples / 40;  // 2.5 % on either side
  Generator random(1);
  std::vector<double> medians, sample(values.size());
  for (size_t r = 0; r < resamples; ++r) {
    for (double& value : sample) value = values[random.below(values.size())];
    medians.push_back(median(sample));
  }
  std::sort(medians.begin(), medians.end());
  return {medians[tail], medians[resamples - 1 - tail]};
}

double mean_of_last(std::span<const double> values) { return mean(values.last(std::min<size_t>(values.size(), 3))); }

bool fell_back(std::span<const double> values, double floor) {
  return mean_of_last(values) <= (floor + *std::max_element(values.begin(), values.end())) / 2;
}

std::optional<size_t> settles_at(std::span<const double> values, double part) {
  if (values.empty() || !std::isfinite(values.back())) return std::nullopt;
  size_t first = values.size();
  while (first > 0 && std::abs(values[first - 1] - values.back()) <= part * std::abs(values.back())) --first;
  return first;
}

}  // namespace gradus::reproduce
