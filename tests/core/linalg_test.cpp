#include "core/linalg.h"

#include "core/error.h"
#include "core/ops.h"
#include "tests/core/cpu_compare.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

Tensor transposed(const Tensor& x) { return transpose(x, 0, 1); }
/// Backward-stable factorizations err by a small multiple of n u |a|.
auto rounding(double scale) {
  return [scale](size_t) { return 64 * 0x1p-53 * scale; };
}

}  // namespace

TEST_CASE("eigenvalues of a known matrix come ascending") {
  const SymmetricEigen e = symmetric_eigen(Tensor::from<double>({2, 1, 1, 2}, {2, 2}));
  check_within(e.values, Tensor::from<double>({1, 3}, {2}), rounding(1));
  check_within(abs(e.vectors), Tensor::full({2, 2}, std::sqrt(0.5), DType::float64), rounding(1));
}

TEST_CASE("eigenvectors diagonalize the symmetric part") {
  const Tensor a = cast(random({6, 6}, 1), DType::float64), symmetric = (a + transposed(a)) / 2.0;
  const SymmetricEigen e = symmetric_eigen(a);
  check_within(matmul(symmetric, e.vectors), e.vectors * e.values, rounding(6));
  check_within(matmul(transposed(e.vectors), e.vectors), Tensor::eye(6, DType::float64), rounding(6));
  check_within(sum(e.values), sum(symmetric * Tensor::eye(6, DType::float64)), rounding(6));
  check_within(symmetric_eigenvalues(a), e.values, rounding(6));
}

TEST_CASE("eigenvalues take float32, strided and empty matrices") {
  const Tensor a = random({4, 4}, 2);
  check_equal(symmetric_eigen(transposed(a)).values, symmetric_eigen(contiguous(transposed(a))).values);
  CHECK(symmetric_eigen(a).values.dtype() == DType::float64);
  CHECK(symmetric_eigen(Tensor::zeros({0, 0})).vectors.shape() == Shape{0, 0});
  CHECK(symmetric_eigenvalues(Tensor::zeros({0, 0})).shape() == Shape{0});
}

TEST_CASE("powers of a symmetric matrix multiply like those of a number") {
  const Tensor x = cast(random({6, 5}, 5), DType::float64), a = matmul(transposed(x), x);
  const Tensor root = symmetric_power(a, 0.5, 0), inverse = symmetric_power(a, -0.5, 0);
  check_within(matmul(root, root), a, rounding(20));
  check_within(matmul(root, inverse), Tensor::eye(5, DType::float64), rounding(20));
  // Of eigenvalues 1 and 3 the lower one counts as 2.
  const Tensor raised = symmetric_power(Tensor::from<float>({2, 1, 1, 2}, {2, 2}), 1, 2);
  CHECK(raised.dtype() == DType::float32);
  check_within(raised, Tensor::from<float>({2.5, 0.5, 0.5, 2.5}, {2, 2}), [](size_t) { return 0x1p-22; });
  CHECK(symmetric_power(Tensor::zeros({0, 0}), -0.5, 1).shape() == Shape{0, 0});
  CHECK_THROWS_WITH_AS(symmetric_power(Tensor::zeros({2, 3}), 1, 0),
                       "[symmetric_power] needs a square matrix, got [2,3]", Error);
}

TEST_CASE("orthonormal columns span the matrix with a positive diagonal of R") {
  for (const Shape& shape : {Shape{5, 3}, Shape{4, 4}}) {
    const Tensor a = cast(random(shape, 3), DType::float64), q = orthonormal(a);
    const int64_t n = shape[1];
    CHECK(q.shape() == shape);
    check_within(matmul(transposed(q), q), Tensor::eye(n, DType::float64), rounding(4));
    const Tensor r = matmul(transposed(q), a);
    check_within(matmul(q, r), a, rounding(4));
    for (int64_t i = 0; i < n; ++i) CHECK(select(select(r, 0, i), 0, i).item() > 0);
  }
}

TEST_CASE("a wide matrix gets orthonormal rows, in its own dtype") {
  const Tensor a = random({2, 5}, 4), q = orthonormal(a);
  CHECK(q.dtype() == DType::float32);
  CHECK(q.shape() == Shape{2, 5});
  check_within(matmul(q, transposed(q)), Tensor::eye(2), [](size_t) { return 8 * 0x1p-24; });
  check_within(orthonormal(transposed(a)), transposed(q), [](size_t) { return 0.0; });
  CHECK(orthonormal(Tensor::zeros({0, 3})).shape() == Shape{0, 3});
}

TEST_CASE("factorizations name what does not fit") {
  CHECK_THROWS_WITH_AS(symmetric_eigen(Tensor::zeros({2, 3})), "[symmetric_eigen] needs a square matrix, got [2,3]",
                       Error);
  CHECK_THROWS_WITH_AS(orthonormal(Tensor::zeros({3})),
                       "[orthonormal] needs a floating-point matrix [m,n], got float32 [3]", Error);
  CHECK_THROWS_WITH_AS(orthonormal(Tensor::zeros({3, 3}, DType::int32)),
                       "[orthonormal] needs a floating-point matrix [m,n], got int32 [3,3]", Error);
  CHECK_THROWS_WITH_AS(orthonormal(Tensor()), "[orthonormal] needs a matrix, got an undefined tensor", Error);
  CHECK_THROWS_WITH_AS(symmetric_eigen(Tensor::full({2, 2}, std::nan(""))),
                       "[symmetric_eigen] the matrix [2,2] has infinite or NaN elements", Error);
}
