// Counter-based random numbers (Philox 4x32-10, Salmon et al. 2011): a draw is a pure function of (seed, stream,
// offset), so equal keys give equal numbers on every device, for any number of threads.
#pragma once

#include <array>
#include <cstdint>

#include "core/anywhere.h"
#include "core/tensor.h"

namespace gradus {

/// Names a sequence of random numbers; element i of a tensor uses counter offset + i / 4.
struct RandomKey {
  uint64_t seed = 0;
  uint64_t stream = 0;
  uint64_t offset = 0;
  bool advances = false;  ///< offset counts training steps in its upper half: work that is replayed goes on counting
  friend bool operator==(const RandomKey&, const RandomKey&) = default;
};

/// One Philox block: counter {offset, stream}, key {seed}.
GRADUS_ANYWHERE inline std::array<uint32_t, 4> philox(const RandomKey& key) {
  uint32_t c0 = static_cast<uint32_t>(key.offset), c1 = static_cast<uint32_t>(key.offset >> 32);
  uint32_t c2 = static_cast<uint32_t>(key.stream), c3 = static_cast<uint32_t>(key.stream >> 32);
  uint32_t k0 = static_cast<uint32_t>(key.seed), k1 = static_cast<uint32_t>(key.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c0, p1 = uint64_t{0xCD9E8D57} * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0, n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return {c0, c1, c2, c3};
}

/// Upper 24 bits as a float in [0, 1).
GRADUS_ANYWHERE inline float to_unit_float(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

/// A sequential source on the host: draws advance the offset. It can be copied, but not saved: a program that resumes
/// makes one per epoch or step, Generator(seed, step).
class Generator {
 public:
  explicit Generator(uint64_t seed = 0, uint64_t stream = 0) : key_{seed, stream, 0} {}
  uint32_t next_u32();
  uint64_t next_u64();
  /// In [0, 1) with 53 random bits.
  double uniform();
  /// In [0, n), without bias. Throws ErrorKind::value for n = 0.
  uint64_t below(uint64_t n);
  /// Standard normal (Box-Muller).
  double normal();
  /// A fresh key whose draws overlap no other of this generator: for filling a tensor of up to 2^34 elements.
  RandomKey fork();

 private:
  RandomKey key_;
  std::array<uint32_t, 4> block_{};
  int left_ = 0;
};

/// Uniform in [low, high), float32 or float64; rounding may reach `high` itself where the two have many digits in
/// common.
Tensor random_uniform(const Shape& shape, double low, double high, const RandomKey& key, DType dtype = DType::float32);
/// Normal with the given mean and standard deviation.
Tensor random_normal(const Shape& shape, double mean, double std, const RandomKey& key, DType dtype = DType::float32);
/// int64, uniform in [low, high), which may be 2^32 apart; of 48 random bits, and so of twice the numbers.
Tensor random_integers(const Shape& shape, int64_t low, int64_t high, const RandomKey& key);
/// int64 [...]: for each row of logits [..., K] one of K classes, with the probabilities that softmax() gives them.
Tensor random_categorical(const Tensor& logits, const RandomKey& key);

}  // namespace gradus
