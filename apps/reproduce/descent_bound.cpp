#include "apps/reproduce/descent_bound.h"

#include <algorithm>
#include <cmath>

namespace gradus::reproduce {

DescentBound check_descent(const Course& course, double smoothness) {
  DescentBound bound;
  for (size_t k = 0; k < course.highest.size(); ++k)
    if (course.highest[k] > 1 / smoothness) bound.from = k + 1;
  bound.eigenvalue = std::nan("");
  for (size_t k = bound.from; k < course.lowest.size(); ++k) {
    bound.eigenvalue = std::fmin(bound.eigenvalue, course.lowest[k]);
    bound.radius = std::max(bound.radius, course.distances[k]);
  }
  for (size_t k = bound.from + 1; k < course.gaps.size(); ++k) {
    const double limit = 2 * bound.radius * bound.radius / (bound.eigenvalue * static_cast<double>(k - bound.from));
    bound.held = bound.held && course.gaps[k] <= limit + 1e-14;
    ++bound.checked;
  }
  return bound;
}

}  // namespace gradus::reproduce
