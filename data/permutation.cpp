#include "data/permutation.h"

#include <numeric>
#include <utility>

#include "core/random.h"

namespace gradus {
namespace {

// A stream of random numbers apart from those of other users of the same seed; the epoch is added.
constexpr uint64_t shuffle_stream = uint64_t{0xda7a5f1e} << 32;

std::vector<int64_t> counted(int64_t n) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  return order;
}

}  // namespace

std::vector<int64_t> random_permutation(int64_t n, uint64_t seed, uint64_t stream) {
  std::vector<int64_t> order = counted(n);
  Generator random(seed, stream);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  return order;
}

std::vector<int64_t> epoch_order(int64_t n, bool shuffle, uint64_t seed, uint64_t epoch) {
  return shuffle ? random_permutation(n, seed, shuffle_stream + epoch) : counted(n);
}

}  // namespace gradus
