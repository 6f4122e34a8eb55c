// Indexing and copies between memory orders on several threads, against the reference: large enough to be cut in parts.
#include "core/ops.h"
#include "core/random.h"
#include "tests/core/cpu_compare.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

/// Positions in [0, extent).
Tensor positions(const Shape& shape, int64_t extent, uint64_t seed) {
  return cast(random_uniform(shape, 0, static_cast<double>(extent), {.seed = seed}), DType::int64);
}

const DType every_dtype[] = {DType::float32, DType::float64, DType::bfloat16, DType::int32,
                             DType::int64,   DType::uint8,   DType::boolean};

Tensor drawn(const Shape& shape, DType dtype, uint64_t seed) {
  return cast(random_uniform(shape, 0, 200, {.seed = seed}), dtype);
}

}  // namespace

TEST_CASE("rows, columns and single elements are gathered and added as the reference does, in every dtype") {
  const Tensor rows = expand(positions({3000, 1}, 500, 1), {3000, 40});
  const Tensor columns = expand(positions({1, 300}, 40, 2), {500, 300}), each = positions({3000, 40}, 500, 3);
  for (const DType dtype : every_dtype) {
    CAPTURE(dtype);
    const Tensor x = drawn({500, 40}, dtype, 4);
    for (const auto& [dimension, chosen] : {std::pair(0, rows), std::pair(1, columns), std::pair(0, each)}) {
      const int dim = dimension;
      const Tensor& index = chosen;
      CAPTURE(dim);
      Tensor ours = Tensor::empty(index.shape(), dtype), right = Tensor::empty(index.shape(), dtype);
      kernels::gather(x, dim, index, ours);
      ref::gather(x, dim, index, right);
      check_equal(ours, right);
      Tensor sums = clone(x), right_sums = clone(x);
      kernels::scatter_add(dim, index, right, sums);
      ref::scatter_add(dim, index, right, right_sums);
      check_equal(sums, right_sums);
    }
  }
  const Tensor line = drawn({20000}, DType::float32, 5), index = positions({50000}, 20000, 6);
  Tensor ours = clone(line), right = clone(line);
  kernels::scatter_add(0, index, gather(line, 0, index), ours);
  ref::scatter_add(0, index, gather(line, 0, index), right);
  check_equal(ours, right);
}

TEST_CASE("what falls on an element of bfloat16 is added in float32 and rounded once") {
  const Tensor ones = Tensor::full({1000, 3}, 1, DType::bfloat16);
  const Tensor index = Tensor::zeros({1000, 3}, DType::int64);
  for (const auto add : {kernels::scatter_add, ref::scatter_add}) {
    Tensor sums = Tensor::full({2, 3}, 0.5, DType::bfloat16);
    add(0, index, ones, sums);
    CHECK(elements(sums) == std::vector<double>{1000, 1000, 1000, 0.5, 0.5, 0.5});
  }
}

TEST_CASE("an index that expand() repeats is checked as one that is not") {
  const Tensor x = Tensor::zeros({5, 3}), wrong = expand(Tensor::from<int64_t>({0, 5}, {2, 1}), {2, 3});
  CHECK_THROWS_WITH(gather(x, 0, wrong), "[gather] index 5 at [1,0] lies outside [0, 5)");
}

TEST_CASE("copies between orders of memory move every element of any dtype") {
  for (const DType dtype : every_dtype) {
    CAPTURE(dtype);
    for (const Dims& order :
         {Dims{1, 0, 2, 3}, Dims{0, 2, 3, 1}, Dims{0, 3, 1, 2}, Dims{3, 2, 1, 0}, Dims{2, 3, 0, 1}, Dims{0, 1, 3, 2}}) {
      CAPTURE(order);
      const Tensor x = permute(drawn({5, 33, 9, 70}, dtype, 7), order);
      Tensor ours = Tensor::empty(x.shape(), dtype), right = Tensor::empty(x.shape(), dtype);
      kernels::copy(x, ours);
      ref::copy(x, right);
      check_equal(ours, right);
    }
  }
}

TEST_CASE("products in float64 agree with the reference, whatever their strides") {
  const Tensor a = random_normal({3, 70, 90}, 0, 1, {.seed = 8}, DType::float64);
  const Tensor b = random_normal({3, 50, 90}, 0, 1, {.seed = 9}, DType::float64);
  for (const double beta : {0.0, 0.5}) {
    Tensor ours = random_normal({3, 70, 50}, 0, 1, {.seed = 10}, DType::float64), right = clone(ours);
    kernels::matmul(a, transpose(b, 1, 2), 2, beta, ours);
    ref::matmul(a, transpose(b, 1, 2), 2, beta, right);
    // 90 products of magnitude below 25, each rounded
    check_within(ours, right, [](size_t) { return 90 * 90 * 25 * 0x1p-53; });
  }
}
