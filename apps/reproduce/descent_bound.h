// The claims of both theorems against descents. Theorem 1, corrected, against a course of rescaled FOP: f_k - f* <= 2
// R^2 / (c k) once the largest eigenvalue of P is at most 1 / L, R the distance to a solution and c > 0 below the
// eigenvalues of P from there on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
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

  /// At most f_k - f*; not a number where nothing is said of it.
  double limit(size_t k) const;
  /// Where nothing was checked, nothing holds.
  bool holds() const { return checked > 0 && held; }
};

/// How a descent compares with a claim on (f_k+1 - f*) / (f_k - f*), step by step.
struct RateCheck {
  double measured = 0;  ///< the largest of these factors
  double claimed = 0;   ///< what it may be at most: the largest claim where it varies
  double excess = -std::numeric_limits<double>::infinity();  ///< the largest of measured - claimed in one step
  int64_t steps = 0;
  bool finite = true;  ///< every gap and claim so far

  /// A step from one gap to the next.
  void add(double gap, double next, double claim);
  /// Whether it says anything: a gap that is not a number exceeds nothing, and neither does no step.
  bool tells() const { return steps > 0 && finite; }
  bool holds() const { return tells() && excess <= 1e-9; }  // far above rounding, far below any violation
};

DescentBound check_descent(const Course& course, double smoothness);

}  // namespace gradus::reproduce
