// The ranges that options must lie in; neither inf nor nan lies in any. Not public.
#pragma once

#include <cmath>

namespace gradus {

inline bool is_positive(double x) { return x > 0 && std::isfinite(x); }
inline bool is_not_negative(double x) { return x >= 0 && std::isfinite(x); }
/// In [0, 1): decays, momenta, probabilities to drop.
inline bool is_fraction(double x) { return x >= 0 && x < 1; }

}  // namespace gradus
