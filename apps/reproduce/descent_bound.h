// The corrected bound of theorem 1 against a course of rescaled FOP: f_k - f* <= 2 R^2 / (c k) once the largest
// eigenvalue of P is at most 1 / L, R the distance to a solution and c > 0 below the eigenvalues of P from there on.
#pragma once

#include <cstddef>
#include <vector>

namespace gradus::reproduce {

struct Course {
  std::vector<double> gaps, lowest, highest, distances;  ///< before every step; eigenvalues of the P that it applies
};

/// The bound from the first step on after which P stays within 1 / L.
struct DescentBound {
  size_t from = 0;
  double eigenvalue = 0;  ///< c; not a number where P is never within 1 / L
  double radius = 0;      ///< R
  size_t checked = 0;     ///< steps of which the bound said something
  bool held = true;       ///< at each of these

  /// Where nothing was checked, nothing holds.
  bool holds() const { return checked > 0 && held; }
};

DescentBound check_descent(const Course& course, double smoothness);

}  // namespace gradus::reproduce
