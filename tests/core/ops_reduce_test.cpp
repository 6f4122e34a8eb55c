#include <cmath>
#include <functional>
#include <limits>

#include "core/error.h"
#include "core/ops.h"
#include "tests/core/cpu_compare.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

using Values = std::vector<double>;

/// Sum over the dimensions marked true, by visiting every element of a row-major copy: the oracle of every reduction.
Values naive(const Tensor& x, const std::vector<bool>& over, double start, double (*combine)(double, double)) {
  Shape kept = x.shape();
  for (int d = 0; d < x.rank(); ++d)
    if (over[d]) kept[d] = 1;
  Values totals(static_cast<size_t>(numel(kept)), start);
  const Values from = elements(x);
  for (size_t i = 0; i < from.size(); ++i) {
    int64_t rest = static_cast<int64_t>(i), target = 0, stride = 1;
    for (int d = x.rank() - 1; d >= 0; --d) {
      const int64_t position = rest % x.shape()[d];
      rest /= x.shape()[d];
      if (!over[d]) target += position * stride, stride *= x.shape()[d];
    }
    totals[target] = combine(totals[target], from[i]);
  }
  return totals;
}

}  // namespace

TEST_CASE("sum, mean, max and min agree with plain loops over every set of dimensions and memory order") {
  const Shape shape = {2, 3, 4, 5};
  for (const DType dtype : {DType::float32, DType::float64})
    for (const Memory memory : every_memory) {
      const Tensor x = in(memory, cast(random(shape, 1), dtype));
      for (int mask = 1; mask < 16; ++mask) {
        Dims dims;
        std::vector<bool> over(4);
        double count = 1;
        for (int d = 0; d < 4; ++d)
          if (mask >> d & 1) dims.push_back(d), over[d] = true, count *= static_cast<double>(shape[d]);
        const double unit = dtype == DType::float32 ? 0x1p-24 : 0x1p-53;
        const Values sums = naive(x, over, 0, [](double a, double b) { return a + b; });
        const Tensor expected = Tensor::from(sums, sum(x, dims).shape());
        // Summing n terms of size at most 1 errs by at most n^2 u.
        check_within(sum(x, dims), expected, [&](size_t) { return count * count * unit; });
        check_within(mean(x, dims), expected / count, [&](size_t) { return (count + 1) * unit; });
        CHECK(elements(max(x, dims)) == naive(x, over, -9, [](double a, double b) { return std::max(a, b); }));
        CHECK(elements(min(x, dims)) == naive(x, over, 9, [](double a, double b) { return std::min(a, b); }));
      }
    }
}

TEST_CASE("reductions drop or keep dimensions") {
  const Tensor x = counted({2, 3, 4});
  CHECK(sum(x).rank() == 0);
  CHECK(sum(x).item() == 276);
  CHECK(sum(x, {}, true).shape() == Shape{1, 1, 1});
  CHECK(sum(x, {-1}).shape() == Shape{2, 3});
  CHECK(sum(x, {0, 2}, true).shape() == Shape{1, 3, 1});
  CHECK(elements(sum(x, {0, 2})) == Values{60, 92, 124});
  CHECK(sum(Tensor::full({}, 3)).item() == 3);
}

TEST_CASE("integers reduce exactly and broadcast inputs reduce as if repeated") {
  const int64_t big = (int64_t{1} << 53) + 1;
  CHECK(sum(Tensor::from<int64_t>({big, 1, 1}, {3})).to_vector<int64_t>()[0] == big + 2);
  CHECK(max(Tensor::from<int32_t>({-5, -9}, {2})).item() == -5);
  CHECK(elements(sum(expand(counted({3, 1}), {3, 4}), {1})) == Values{0, 4, 8});
  CHECK(max(Tensor::from<bool>({false, true}, {2})).item() == 1);
}

TEST_CASE("a long float32 sum keeps its digits") {
  // A running float32 sum of ones stops growing at 2^24.
  CHECK(sum(expand(Tensor::ones({1}), {1 << 25})).item() == 1 << 25);
  const Tensor tenth = Tensor::full({1 << 20}, 0.1);
  CHECK(sum(tenth).item() == doctest::Approx(static_cast<double>(0.1f) * (1 << 20)).epsilon(1e-6));
}

TEST_CASE("empty sums are zero; empty extrema and means throw") {
  CHECK(sum(Tensor::zeros({0})).item() == 0);
  CHECK(elements(sum(Tensor::zeros({0, 2}), {0})) == Values{0, 0});
  CHECK(sum(Tensor::zeros({0, 2}), {1}).shape() == Shape{0});
  CHECK(max(Tensor::zeros({0, 2}), {1}).shape() == Shape{0});
  CHECK(mean(Tensor::zeros({2, 0, 3}), {0}).shape() == Shape{0, 3});
  CHECK_THROWS_WITH_AS(max(Tensor::zeros({2, 0}), {1}),
                       "[max] no elements to choose from: [2,0] is empty along the reduced dimensions", Error);
  CHECK_THROWS_AS(min(Tensor::zeros({0})), Error);
  CHECK_THROWS_WITH_AS(mean(Tensor::zeros({0})),
                       "[mean] no elements to average: [0] is empty along the reduced dimensions", Error);
}

TEST_CASE("NaN wins every extremum") {
  for (const DType dtype : {DType::float32, DType::float64})
    for (int64_t at = 0; at < 40; ++at) {
      Tensor x = Tensor::ones({40}, dtype);
      Tensor element = slice(x, 0, at, at + 1);
      fill_(element, std::nan(""));
      CHECK(std::isnan(max(x).item()));
      CHECK(std::isnan(min(x).item()));
      CHECK(argmax(x, 0).item() == at);
      CHECK_FALSE(all_finite(x));
    }
}

TEST_CASE("reductions name what does not fit") {
  const Tensor x = counted({2, 3});
  CHECK_THROWS_WITH_AS(sum(x, {0, -2}), "[sum] dimensions [0,-2] name dimension 0 twice", Error);
  CHECK_THROWS_AS(sum(x, {2}), Error);
  CHECK_THROWS_WITH_AS(sum(greater(x, 1)),
                       "[sum] a sum of bool would overflow; cast it first, as in cast(x, DType::int64)", Error);
  CHECK_THROWS_AS(sum(cast(x, DType::uint8)), Error);
  CHECK_THROWS_AS(mean(cast(x, DType::int32)), Error);
  CHECK_THROWS_AS(sum(Tensor()), Error);
}

TEST_CASE("argmax gives the first largest element along a dimension of any strides") {
  const Tensor x = Tensor::from<float>({1, 5, 5, 7, 2, 7}, {2, 3});
  CHECK(argmax(x, 1).to_vector<int64_t>() == std::vector<int64_t>{1, 0});
  CHECK(argmax(x, 0).to_vector<int64_t>() == std::vector<int64_t>{1, 0, 1});
  CHECK(argmax(x, -1, true).shape() == Shape{2, 1});
  for (const Memory memory : every_memory) check_equal(argmax(in(memory, x), 1), argmax(x, 1));
  CHECK(argmax(Tensor::from<int64_t>({3, 9}, {2}), 0).item() == 1);
  CHECK_THROWS_WITH_AS(argmax(Tensor::zeros({2, 0}), 1),
                       "[argmax] no elements to choose from: dimension 1 of [2,0] is empty", Error);
}

TEST_CASE("sum_to undoes a broadcast") {
  const Tensor x = counted({2, 3});
  CHECK(sum_to(x, {2, 3}).storage() == x.storage());
  CHECK(elements(sum_to(x, {3})) == Values{3, 5, 7});
  CHECK(elements(sum_to(x, {2, 1})) == Values{3, 12});
  CHECK(sum_to(x, {}).item() == 15);
  CHECK(sum_to(counted({1, 1, 3}), {3}).shape() == Shape{3});
  CHECK(elements(sum_to(counted({2, 3, 2}), {3, 1})) == Values{14, 22, 30});
  CHECK_THROWS_WITH_AS(sum_to(x, {2}), "[sum_to] [2,3] is no broadcast of [2]", Error);
  CHECK_THROWS_AS(sum_to(x, {1, 2, 3}), Error);
}

TEST_CASE("norm, dot and all_finite read back to the host") {
  const Tensor x = Tensor::from<float>({3, 4}, {2});
  CHECK(norm(x) == doctest::Approx(5));
  CHECK(dot(x, x) == doctest::Approx(25));
  CHECK(norm(Tensor::zeros({0})) == 0);
  CHECK(all_finite(x));
  CHECK(all_finite(Tensor::zeros({0})));
  CHECK(all_finite(Tensor::zeros({1}, DType::int64)));
  for (const double bad : {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
    CHECK_FALSE(all_finite(Tensor::from<double>({1, bad, 2}, {3})));
    CHECK_FALSE(all_finite(cast(Tensor::from<double>({1, 2, bad}, {3}), DType::float32)));
  }
  CHECK_THROWS_WITH_AS(dot(x, Tensor::zeros({3})), "[dot] the second operand needs shape [2], got [3]", Error);
  CHECK_THROWS_AS(norm(Tensor::zeros({1}, DType::int64)), Error);
}

TEST_CASE("correct labels are counted among the likeliest classes") {
  const Tensor logits = Tensor::from<float>({3, 1, 2, 0, 1, 1, 1, 0, NAN, NAN, NAN, NAN}, {3, 4});
  const auto count = [&](const std::vector<int64_t>& labels, int64_t top) {
    return count_correct(logits, Tensor::from(labels, {3}), top);
  };
  CHECK(count({0, 0, 3}, 1) == 2);
  CHECK(count({2, 1, 0}, 1) <= 1);  // at most the row of NaN
  CHECK(count({2, 2, 0}, 2) == 2);  // classes that are equally likely count together
  CHECK(count({3, 3, 0}, 3) == 0);
  CHECK(count({3, 3, 0}, 4) == 2);
  CHECK_THROWS_WITH_AS(count({0, 0, 0}, 0), doctest::Contains("at least one class, got 0"), Error);
  CHECK_THROWS_WITH_AS(count_correct(logits, Tensor::zeros({2}, DType::int64)), doctest::Contains("[count_correct]"),
                       Error);
}

TEST_CASE("gather picks along a dimension and scatter_add puts back") {
  const Tensor x = counted({3, 2});
  const Tensor index = Tensor::from<int64_t>({2, 0, 0, 1}, {2, 2});
  CHECK(elements(gather(x, 0, index)) == Values{4, 1, 0, 3});
  const Tensor rows = Tensor::from<int64_t>({1, 0, 1}, {3, 1});
  CHECK(elements(gather(x, -1, rows)) == Values{1, 2, 5});
  for (const Memory memory : every_memory) {
    check_equal(gather(in(memory, x), 0, in(memory, index)), gather(x, 0, index));
    CHECK(elements(scatter_add(in(memory, Tensor::ones({3, 2})), 0, in(memory, index), in(memory, counted({2, 2})))) ==
          Values{3, 2, 1, 4, 1, 1});
  }
  const Tensor repeated = Tensor::from<int64_t>({1, 1, 1}, {3});
  CHECK(elements(scatter_add(Tensor::zeros({2}), 0, repeated, Tensor::from<float>({1, 2, 4}, {3}))) == Values{0, 7});
  CHECK(gather(x, 0, Tensor::zeros({0, 2}, DType::int64)).shape() == Shape{0, 2});
  // <gather(x), g> = <x, scatter_add(0, g)>
  const Tensor g = random({2, 2}, 3);
  CHECK(dot(gather(x, 0, index), g) == doctest::Approx(dot(x, scatter_add(Tensor::zeros({3, 2}), 0, index, g))));
}

TEST_CASE("index_select picks whole parts along a dimension") {
  const Tensor x = counted({2, 3, 2}), index = Tensor::from<int64_t>({2, 0, 2, 1}, {4});
  const Tensor picked = index_select(x, 1, index);
  CHECK(picked.shape() == Shape{2, 4, 2});
  CHECK(elements(picked) == Values{4, 5, 0, 1, 4, 5, 2, 3, 10, 11, 6, 7, 10, 11, 8, 9});
  CHECK(elements(index_select(x, -1, Tensor::from<int64_t>({1}, {1}))) == Values{1, 3, 5, 7, 9, 11});
  for (const Memory memory : every_memory) check_equal(index_select(in(memory, x), 1, in(memory, index)), picked);
  CHECK(index_select(x, 0, Tensor::zeros({0}, DType::int64)).shape() == Shape{0, 3, 2});
  CHECK(index_select(Tensor::from<int64_t>({5, 6}, {2}), 0, Tensor::from<int64_t>({1}, {1})).item() == 6);

  CHECK_THROWS_WITH_AS(index_select(x, 0, Tensor::from<int64_t>({2}, {1})),
                       "[index_select] index 2 at [0] lies outside [0, 2)", Error);
  CHECK_THROWS_WITH_AS(index_select(x, 0, Tensor::zeros({1, 1}, DType::int64)),
                       "[index_select] expects an index [n], got [1,1]", Error);
  CHECK_THROWS_AS(index_select(x, 0, Tensor::zeros({1})), Error);
  CHECK_THROWS_AS(index_select(x, 3, index), Error);
}

TEST_CASE("gather and scatter_add name what does not fit") {
  const Tensor x = counted({3, 2});
  CHECK_THROWS_WITH_AS(gather(x, 0, Tensor::from<int64_t>({0, 3}, {1, 2})),
                       "[gather] index 3 at [0,1] lies outside [0, 3)", Error);
  CHECK_THROWS_WITH_AS(gather(x, 0, Tensor::from<int64_t>({0, -1}, {1, 2})),
                       "[gather] index -1 at [0,1] lies outside [0, 3)", Error);
  CHECK_THROWS_WITH_AS(gather(x, 0, Tensor::zeros({1, 2})),
                       "[gather] the index needs int64, got float32 [1,2]; cast it first", Error);
  CHECK_THROWS_WITH_AS(gather(x, 0, Tensor::zeros({1, 3}, DType::int64)),
                       "[gather] index [1,3] must have the extents of [3,2] except along dimension 0", Error);
  CHECK_THROWS_AS(gather(x, 0, Tensor::zeros({2}, DType::int64)), Error);
  CHECK_THROWS_WITH_AS(scatter_add(x, 0, Tensor::zeros({1, 2}, DType::int64), Tensor::zeros({2, 2})),
                       "[scatter_add] the index needs the shape of the source [2,2], got [1,2]", Error);
  CHECK_THROWS_AS(scatter_add(x, 0, Tensor::zeros({1, 2}, DType::int64), Tensor::zeros({1, 2}, DType::float64)), Error);
  CHECK_THROWS_AS(scatter_add(x, 0, Tensor::full({1, 2}, 5, DType::int64), Tensor::zeros({1, 2})), Error);
}

TEST_CASE("matmul agrees with triple loops for every pair of memory orders") {
  const int64_t m = 5, inner = 7, n = 6;
  const Tensor a = random({m, inner}, 1), b = random({inner, n}, 2);
  const Values left = elements(a), right = elements(b);
  Values expected;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double total = 0;
      for (int64_t k = 0; k < inner; ++k) total += left[i * inner + k] * right[k * n + j];
      expected.push_back(total);
    }
  for (const DType dtype : {DType::float32, DType::float64})
    for (const Memory x : every_memory)
      for (const Memory y : every_memory) {
        const double unit = dtype == DType::float32 ? 0x1p-24 : 0x1p-53;
        // A dot product of `inner` terms of size at most 1 errs by at most inner^2 u.
        check_within(matmul(in(x, cast(a, dtype)), in(y, cast(b, dtype))), Tensor::from(expected, {m, n}),
                     [&](size_t) { return (inner + 2) * inner * unit; });
      }
}

TEST_CASE("matmul broadcasts leading dimensions") {
  const Tensor a = random({2, 1, 3, 4}, 3), b = random({5, 4, 2}, 4);
  const Tensor out = matmul(a, b);
  REQUIRE(out.shape() == Shape{2, 5, 3, 2});
  for (int64_t i = 0; i < 2; ++i)
    for (int64_t j = 0; j < 5; ++j)
      check_within(select(select(out, 0, i), 0, j), matmul(select(select(a, 0, i), 0, 0), select(b, 0, j)),
                   [](size_t) { return 1e-6; });
  const Tensor folded = matmul(random({2, 3, 4}, 5), random({4, 6}, 6));
  CHECK(folded.shape() == Shape{2, 3, 6});
  check_within(select(folded, 0, 1), matmul(select(random({2, 3, 4}, 5), 0, 1), random({4, 6}, 6)),
               [](size_t) { return 1e-6; });
  CHECK(matmul(random({3, 4}, 7), random({2, 4, 5}, 8)).shape() == Shape{2, 3, 5});
}

TEST_CASE("matmul_of_squares is the product with squares, of matrices of one dtype") {
  for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16}) {
    const Tensor a = cast(random({3, 4}, 9), dtype), b = cast(random({4, 5}, 10), dtype);
    check_within(matmul_of_squares(a, b), matmul(a, square(b)), [](size_t) { return 0; });
  }
  CHECK(elements(matmul_of_squares(Tensor::zeros({2, 0}), Tensor::zeros({0, 3}))) == Values(6, 0.0));
  CHECK(matmul_of_squares(Tensor::zeros({0, 4}), Tensor::zeros({4, 3})).shape() == Shape{0, 3});
  CHECK_THROWS_WITH_AS(matmul_of_squares(Tensor::zeros({2, 3}), Tensor::zeros({2, 3})),
                       "[matmul_of_squares] needs matrices [m, k] and [k, n], got [2,3] and [2,3]", Error);
  CHECK_THROWS_AS(matmul_of_squares(Tensor::zeros({2, 3}), Tensor::zeros({3, 3}, DType::float64)), Error);
}

TEST_CASE("empty matrix products have the right shape and no garbage") {
  CHECK(elements(matmul(Tensor::zeros({2, 0}), Tensor::zeros({0, 3}))) == Values(6, 0.0));
  CHECK(matmul(Tensor::zeros({0, 4}), Tensor::zeros({4, 3})).shape() == Shape{0, 3});
  CHECK(matmul(Tensor::zeros({0, 2, 4}), Tensor::zeros({4, 3})).shape() == Shape{0, 2, 3});
  CHECK(elements(matmul(Tensor::zeros({2, 1, 0}), Tensor::zeros({0, 2}))) == Values(4, 0.0));
}

TEST_CASE("matmul names what does not fit") {
  CHECK_THROWS_WITH_AS(matmul(Tensor::zeros({2, 3}), Tensor::zeros({4, 2})),
                       "[matmul] [2,3] x [4,2]: the columns of the first, 3, must be the rows of the second, 4", Error);
  CHECK_THROWS_WITH_AS(
      matmul(Tensor::zeros({3}), Tensor::zeros({3, 2})),
      "[matmul] operands need at least 2 dimensions, got [3] and [3,2]; unsqueeze() makes a vector a matrix", Error);
  CHECK_THROWS_AS(matmul(Tensor::zeros({2, 2}), Tensor::zeros({2, 2}, DType::float64)), Error);
  CHECK_THROWS_AS(matmul(Tensor::zeros({2, 2}, DType::int64), Tensor::zeros({2, 2}, DType::int64)), Error);
  CHECK_THROWS_AS(matmul(Tensor::zeros({2, 2, 2}), Tensor::zeros({3, 2, 2})), Error);
}

TEST_CASE("logsumexp neither overflows nor loses small terms, and takes infinities as limits") {
  const double infinity = std::numeric_limits<double>::infinity();
  const Tensor x = Tensor::from<double>(
      {1000, 1000, -1000, -1001, 3, -infinity, -infinity, -infinity, infinity, 5, 0, std::nan("")}, {6, 2});
  const Values y = elements(logsumexp(x, {1}));
  CHECK(y[0] == doctest::Approx(1000 + std::log(2)).epsilon(1e-15));
  CHECK(y[1] == doctest::Approx(-1000 + std::log1p(std::exp(-1))).epsilon(1e-15));
  CHECK(y[2] == 3);
  CHECK(y[3] == -infinity);
  CHECK(y[4] == infinity);
  CHECK(std::isnan(y[5]));
  CHECK(logsumexp(x, {1}, true).shape() == Shape{6, 1});
  CHECK(logsumexp(slice(x, 0, 0, 1)).shape() == Shape{});
}

TEST_CASE("variance divides by the number of elements") {
  const Tensor x = Tensor::from<double>({1, 3, 5, 7, 1e8, 1e8 + 2}, {3, 2});
  CHECK(elements(variance(x, {1})) == Values{1, 1, 1});
  CHECK(elements(variance(slice(x, 0, 0, 2))) == Values{5});  // 9, 1, 1, 9 around 4
  CHECK(variance(x, {0, 1}, true).shape() == Shape{1, 1});
}

TEST_CASE("one_hot has a 1 at each label, and refuses labels that are no classes") {
  const Tensor labels = Tensor::from<int64_t>({2, 0, 1, 2}, {2, 2});
  const Tensor y = one_hot(labels, 3);
  CHECK(y.shape() == Shape{2, 2, 3});
  CHECK(y.dtype() == DType::float32);
  CHECK(elements(y) == Values{0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1});
  CHECK(one_hot(labels, 3, DType::boolean).dtype() == DType::boolean);
  CHECK_THROWS_WITH_AS(one_hot(labels, 2), "[one_hot] index 2 at [0,0] lies outside [0, 2)", Error);
  CHECK_THROWS_AS(one_hot(cast(labels, DType::float32), 3), Error);
}
