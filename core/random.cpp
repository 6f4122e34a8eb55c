#include "core/random.h"

#include <cmath>
#include <numbers>

#include "core/check_defined.h"
#include "core/error.h"
#include "core/kernels.h"
#include "core/ops.h"

namespace gradus {

uint32_t Generator::next_u32() {
  if (left_ == 0) {
    block_ = philox(key_);
    ++key_.offset;
    left_ = 4;
  }
  return block_[4 - left_--];
}

uint64_t Generator::next_u64() {
  const uint64_t low = next_u32();
  return low | static_cast<uint64_t>(next_u32()) << 32;
}

double Generator::uniform() { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }

uint64_t Generator::below(uint64_t n) {
  if (n == 0) fail(ErrorKind::value, "random", "there is no number below 0");
  if (n == 1) return 0;
  const uint64_t rejected = (0 - n) % n;  // 2^64 mod n: draws below it would favor small results
  uint64_t draw = next_u64();
  while (draw < rejected) draw = next_u64();
  return draw % n;
}

double Generator::normal() {
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

RandomKey Generator::fork() {
  constexpr uint64_t blocks_per_tensor = uint64_t{1} << 32;
  left_ = 0;
  const RandomKey key = key_;
  key_.offset += blocks_per_tensor;
  return key;
}

Tensor random_uniform(const Shape& shape, double low, double high, const RandomKey& key, DType dtype) {
  if (!(low <= high)) fail(ErrorKind::value, "random_uniform", "needs low <= high, got ", low, " and ", high);
  Tensor out = Tensor::empty(shape, dtype);
  kernels::random_uniform(key, low, high, out);
  return out;
}

Tensor random_normal(const Shape& shape, double mean, double std, const RandomKey& key, DType dtype) {
  if (!(std >= 0)) fail(ErrorKind::value, "random_normal", "std must not be negative, got ", std);
  Tensor out = Tensor::empty(shape, dtype);
  kernels::random_normal(key, mean, std, out);
  return out;
}

namespace {

/// float64 in [0, 1) of 48 random bits, where random_uniform() has 24.
Tensor fine_uniform(const Shape& shape, const RandomKey& key) {
  const Tensor draws = random_uniform({2, numel(shape)}, 0, 1, key, DType::float64);
  return reshape(select(draws, 0, 0) + select(draws, 0, 1) * 0x1p-24, shape);
}

}  // namespace

Tensor random_integers(const Shape& shape, int64_t low, int64_t high, const RandomKey& key) {
  if (!(low < high)) fail(ErrorKind::value, "random_integers", "needs low < high, got ", low, " and ", high);
  const uint64_t count = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  if (count > uint64_t{1} << 32)
    fail(ErrorKind::value, "random_integers", "draws from at most 2^32 numbers, got ", count);
  const Tensor drawn = fine_uniform(shape, key) * static_cast<double>(count);
  return cast(drawn, DType::int64) + static_cast<double>(low);
}

Tensor random_categorical(const Tensor& logits, const RandomKey& key) {
  check::defined("random_categorical", logits);
  // The greatest of logits with Gumbel noise (Maddison, Tarlow, Minka 2014).
  return argmax(cast(logits, DType::float64) - log(neg(log(fine_uniform(logits.shape(), key)))), -1);
}

}  // namespace gradus
