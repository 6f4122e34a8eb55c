// Random operands in every kind of memory order, and comparisons with tolerances that come with each element.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/convolution.h"
#include "core/kernels.h"
#include "core/random.h"
#include "core/tensor.h"

namespace gradus::testing {

inline constexpr double float_epsilon = std::numeric_limits<float>::epsilon() / 2;  ///< unit roundoff

/// padded: gaps after every row of every dimension; reversed: the first dimension is innermost.
enum class Memory { contiguous, channels_last, padded, reversed };
inline constexpr Memory every_memory[] = {Memory::contiguous, Memory::channels_last, Memory::padded, Memory::reversed};

/// Uninitialized. channels_last falls back to contiguous where the rank is not 4.
inline Tensor empty_in(Memory memory, const Shape& shape, DType dtype = DType::float32) {
  const int rank = shape.rank();
  if (memory == Memory::channels_last && rank == 4) return Tensor::empty(shape, dtype, Layout::channels_last);
  if (memory == Memory::padded) {
    Strides strides = Dims::filled(rank, 0);
    int64_t stride = 2;
    for (int i = rank - 1; i >= 0; --i) {
      strides[i] = stride;
      stride *= shape[i] + 1;
    }
    const double between = dtype == DType::boolean || dtype == DType::uint8 ? 1 : -77;
    const Tensor buffer = Tensor::full({stride + 3}, between, dtype);
    return Tensor(buffer.storage(), 3, shape, strides, dtype);
  }
  if (memory == Memory::reversed) {
    Strides strides = Dims::filled(rank, 0);
    int64_t stride = 1;
    for (int i = 0; i < rank; ++i) {
      strides[i] = stride;
      stride *= shape[i];
    }
    return Tensor(Storage::allocate(static_cast<size_t>(stride) * size_of(dtype)), 0, shape, strides, dtype);
  }
  return Tensor::empty(shape, dtype);
}

/// x's elements in another memory order.
inline Tensor in(Memory memory, const Tensor& x) {
  Tensor out = empty_in(memory, x.shape(), x.dtype());
  ref::copy(x, out);
  return out;
}

/// Uniform in [low, high), row-major float32.
inline Tensor random(const Shape& shape, uint64_t seed, double low = -1, double high = 1) {
  Generator generator(seed);
  std::vector<float> values(static_cast<size_t>(numel(shape)));
  for (float& v : values) v = static_cast<float>(low + (high - low) * generator.uniform());
  return Tensor::from(values, shape);
}

/// 0, 1, 2 ... in row-major order.
inline Tensor counted(const Shape& shape, DType dtype = DType::float32) {
  const Tensor row = Tensor::arange(numel(shape), dtype);
  return Tensor(row.storage(), 0, shape, contiguous_strides(shape), dtype);
}

/// NaN in what the allocator will give next: whoever reads what nobody wrote, reads this.
inline void leave_nan_in_free_memory() {
  std::vector<Tensor> blocks;
  for (int64_t count = 16; count < int64_t{1} << 18; count += count / 4)
    for (int twice = 0; twice < 2; ++twice) blocks.push_back(Tensor::full({count}, NAN));
}

/// Convolutions by one algorithm while this lives.
struct Algorithm {
  explicit Algorithm(ConvAlgorithm a) : before(conv_algorithm()) { set_conv_algorithm(a); }
  ~Algorithm() { set_conv_algorithm(before); }
  ConvAlgorithm before;
};

/// The reference's |x|, whose sums bound roundings.
inline Tensor absolute(const Tensor& x) {
  Tensor out = Tensor::empty(x.shape());
  ref::unary(UnaryOp::abs, x, out);
  return out;
}

/// Row-major elements in double, whatever the dtype and memory order; through the reference's copy.
inline std::vector<double> elements(const Tensor& x) {
  Tensor copy = Tensor::empty(x.shape(), DType::float64);
  ref::copy(x, copy);
  return copy.to_vector<double>();
}

/// |got - expected| <= bound, element by element; equal infinities and two NaNs agree. `bound(i)` is called with the
/// row-major position.
template <class Bound>
void check_within(const Tensor& got, const Tensor& expected, Bound bound) {
  REQUIRE(got.shape() == expected.shape());
  const auto g = elements(got), e = elements(expected);
  size_t wrong = 0;
  for (size_t i = 0; i < g.size(); ++i) {
    if (g[i] == e[i] || (std::isnan(g[i]) && std::isnan(e[i]))) continue;
    if (std::abs(g[i] - e[i]) <= bound(i)) continue;
    if (wrong++ == 0) {
      CAPTURE(i);
      CAPTURE(g[i]);
      CAPTURE(e[i]);
      CAPTURE(bound(i));
      FAIL_CHECK("first element out of tolerance");
    }
  }
  CHECK(wrong == 0);
}

inline void check_equal(const Tensor& got, const Tensor& expected) {
  check_within(got, expected, [](size_t) { return 0.0; });
}

/// Elements as bits, to compare exactly.
inline std::vector<float> bits_of(const Tensor& x) { return x.to_vector<float>(); }

}  // namespace gradus::testing
