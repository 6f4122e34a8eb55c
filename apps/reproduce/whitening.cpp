#include "apps/reproduce/whitening.h"

#include <cstdlib>

namespace gradus::reproduce {

double whitening_score(std::span<const double> p, int64_t side) {
  const int64_t n = side * side;
  double neighbors = 0, diagonal = 0;
  int64_t count = 0;
  for (int64_t a = 0; a < n; ++a) {
    diagonal += p[static_cast<size_t>(a * n + a)];
    for (int64_t b = 0; b < n; ++b)
      if (std::abs(a / side - b / side) + std::abs(a % side - b % side) == 1) {
        neighbors += p[static_cast<size_t>(a * n + b)];
        ++count;
      }
  }
  return -(neighbors / static_cast<double>(count)) / (diagonal / static_cast<double>(n));
}

}  // namespace gradus::reproduce
