// Mean, spread and median of a few numbers.
#pragma once

#include <span>
#include <vector>

namespace gradus::apps {

double mean(std::span<const double> values);
/// Sample standard deviation; not a number for fewer than two values.
double standard_deviation(std::span<const double> values);
/// The middle value, or the mean of the two in the middle; not a number for none.
double median(std::vector<double> values);

}  // namespace gradus::apps
