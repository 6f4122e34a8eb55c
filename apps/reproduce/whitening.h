// How far a learned P whitens: the structure that the paper sees in its Figure 5.
#pragma once

#include <cstdint>
#include <span>

namespace gradus::reproduce {

/// Of P [n, n] by rows, over the n = side * side positions of a kernel: minus the mean entry between positions that
/// touch by a side, divided by the mean of the diagonal. 0 for the identity; above 0 where P subtracts from a gradient
/// what its neighbors have in common with it. Not a number for a kernel of one position, which has no neighbors.
double whitening_score(std::span<const double> p, int64_t side);

}  // namespace gradus::reproduce
