#include "apps/reproduce/descent_bound.h"

#include <algorithm>
#include <cmath>

namespace gradus::reproduce {

double DescentBound::limit(size_t k) const {
  return k > from ? 2 * radius * radius / (eigenvalue * static_cast<double>(k - from)) : std::nan("");
}

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
    bound.held = bound.held && course.gaps[k] <= bound.limit(k) + 1e-14;
    ++bound.checked;
  }
  return bound;
}

void RateCheck::add(double gap, double next, double claim) {
  finite = finite && std::isfinite(gap) && std::isfinite(next) && std::isfinite(claim);
  measured = std::max(measured, next / gap);
  claimed = steps == 0 ? claim : std::max(claimed, claim);
  excess = std::max(excess, next / gap - claim);
  ++steps;
}

}  // namespace gradus::reproduce
