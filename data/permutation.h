// Random orders: the shuffle of an epoch, and the choice of a subset; and the number of an epoch's batches.
#pragma once

#include <cstdint>
#include <vector>

namespace gradus {

/// 0, ..., n-1 in a random order (Fisher-Yates), a pure function of the arguments.
std::vector<int64_t> random_permutation(int64_t n, uint64_t seed, uint64_t stream);

/// The order of n samples in an epoch: a random one, or 0, ..., n-1.
std::vector<int64_t> epoch_order(int64_t n, bool shuffle, uint64_t seed, uint64_t epoch);

/// Batches of n samples, of which the last may not be full unless it is dropped. No batch is too large for it.
constexpr int64_t batches_of(int64_t n, int64_t batch, bool drop_last) {
  return n / batch + (drop_last || n % batch == 0 ? 0 : 1);
}

}  // namespace gradus
