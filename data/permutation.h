// Random orders: the shuffle of an epoch, and the choice of a subset.
#pragma once

#include <cstdint>
#include <vector>

namespace gradus {

/// 0, ..., n-1 in a random order (Fisher-Yates), a pure function of the arguments.
std::vector<int64_t> random_permutation(int64_t n, uint64_t seed, uint64_t stream);

/// The order of n samples in an epoch: a random one, or 0, ..., n-1.
std::vector<int64_t> epoch_order(int64_t n, bool shuffle, uint64_t seed, uint64_t epoch);

}  // namespace gradus
