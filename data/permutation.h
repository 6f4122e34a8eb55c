// Random orders: the shuffle of an epoch, and the choice of a subset.
#pragma once

#include <cstdint>
#include <vector>

namespace gradus {

/// 0, ..., n-1 in a random order (Fisher-Yates), a pure function of the arguments.
std::vector<int64_t> random_permutation(int64_t n, uint64_t seed, uint64_t stream);

}  // namespace gradus
