// The statistics that tables of repeated trainings need.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "apps/common/statistics.h"

namespace gradus::reproduce {

using apps::mean;
using apps::median;
using apps::standard_deviation;

/// The 97.5 % point of Student's t distribution: half the width of a 95 % interval, in standard errors.
double student_t_975(int64_t degrees);

/// The mean of a_i - b_i with its 95 % interval: mean +- half_width. Both have one value per seed, in the same order.
struct PairedDifference {
  double mean = 0;
  double half_width = 0;  ///< not a number for fewer than two pairs
  size_t pairs = 0;
};
PairedDifference paired_difference(std::span<const double> a, std::span<const double> b);

/// What it tells: `above` or `below` 0 where its interval leaves 0 out, `equal` where every pair is, `open` where none
/// of these. One pair has no interval and tells nothing; nor do two whose differences coincide, as an interval of no
/// width would be certain of what two numbers share by chance.
enum class Told { above, below, equal, open, one_pair };
Told told(const PairedDifference& difference);

/// What a verdict calls each.
struct Verdict {
  const char *above, *below, *equal, *open;
  const char* one_pair = "no verdict of one seed";
};
std::string in_words(const PairedDifference& difference, const Verdict& verdict);

/// Whether each value is below the one before, and all are finite.
bool descends(std::span<const double> values);

/// The 95 % percentile interval of the median over 2,000 resamples with replacement (Efron 1979), equal for equal
/// values. Not a number for fewer than five: even all that lies between the lowest and the highest of n values misses
/// the median in 2 of 2^n cases, which is 6 % for five, and 25 % for three.
struct Interval {
  double low = 0, high = 0;
};
inline constexpr size_t fewest_for_interval = 5;
Interval bootstrap_median(std::span<const double> values);

/// Mean of the last three values, or of as many as there are.
double mean_of_last(std::span<const double> values);
/// Whether that is no nearer to the highest of all values than to `floor`, the worst: what was learned is lost again,
/// or nothing was learned at all.
bool fell_back(std::span<const double> values, double floor);

/// The first index from which all values stay within `part` times the last one of it: where a curve has settled.
/// Nothing where the last one is not finite.
std::optional<size_t> settles_at(std::span<const double> values, double part);

}  // namespace gradus::reproduce
