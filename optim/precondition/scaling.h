// The factor k that turns the raw matrix Q of FOP into P = k Q: FOP-norm's, or that of section 6.
#pragma once

#include <cmath>

#include "optim/precondition/fop.h"

namespace gradus::optim {

/// k as a function of one norm of Q. With C = d<g, Q x>/dQ, d<g, P x>/dQ = k C + slope <Q, C> d|Q|/dQ.
struct Scaling {
  double k = 1;
  double slope = 0;  ///< dk / d|Q|; 0 where the norm is held constant
};

/// Equation 11: k = sqrt(n) / |Q|_F.
inline Scaling norm_scaling(double frobenius, int64_t n) {
  const double k = std::sqrt(static_cast<double>(n)) / frobenius;
  return {k, -k / frobenius};
}

/// Section 6: k = gamma(t) / |Q|_2 = delta(t) + (1 - delta(t)) limit / |Q|_2.
inline Scaling rescale_scaling(const Fop::Rescale& rescale, double spectral, int64_t step) {
  const double delta = std::pow(static_cast<double>(step), -rescale.power);
  const double part = (1 - delta) * rescale.limit / spectral;
  return {delta + part, rescale.through ? -part / spectral : 0};
}

}  // namespace gradus::optim
