// Factorizations of small matrices by Eigen, on the host in float64.
#include "core/linalg.h"

#include <Eigen/Dense>
#include <vector>

#include "core/error.h"
#include "core/ops.h"

namespace gradus {
namespace {

using Matrix = Eigen::MatrixXd;  // by columns

Matrix to_matrix(const char* op, const Tensor& a) {
  if (!a.defined() || a.rank() != 2 || !is_floating(a.dtype())) {
    if (!a.defined()) fail(ErrorKind::value, op, "needs a matrix, got an undefined tensor");
    fail(a.rank() == 2 ? ErrorKind::dtype : ErrorKind::shape, op, "needs a floating-point matrix [m,n], got ",
         a.dtype(), " ", a.shape());
  }
  const std::vector<double> values = cast(a, DType::float64).to_vector<double>();
  const Matrix matrix = Eigen::Map<const Matrix>(values.data(), a.size(1), a.size(0)).transpose();
  if (!matrix.allFinite()) fail(ErrorKind::value, op, "the matrix ", a.shape(), " has infinite or NaN elements");
  return matrix;
}

Tensor to_tensor(const Matrix& matrix) {
  const Matrix rows = matrix.transpose();
  return Tensor::from(std::span<const double>(rows.data(), static_cast<size_t>(rows.size())),
                      {matrix.rows(), matrix.cols()});
}

enum class Wanted { values, vectors_too };

struct Decomposition {
  Eigen::VectorXd values;  // ascending
  Matrix vectors;
};

/// Of the symmetric part of a square matrix.
Decomposition decompose(const char* op, const Tensor& a, Wanted wanted = Wanted::vectors_too) {
  const Matrix matrix = to_matrix(op, a);
  if (matrix.rows() != matrix.cols()) fail(ErrorKind::shape, op, "needs a square matrix, got ", a.shape());
  if (matrix.size() == 0) return {};
  const bool vectors = wanted == Wanted::vectors_too;
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(0.5 * (matrix + matrix.transpose()),
                                                     vectors ? Eigen::ComputeEigenvectors : Eigen::EigenvaluesOnly);
  if (solver.info() != Eigen::Success)
    fail(ErrorKind::value, op, "the iteration did not converge for a matrix ", a.shape());
  return {solver.eigenvalues(), vectors ? solver.eigenvectors() : Matrix()};
}

Tensor to_vector(const Eigen::VectorXd& values) {
  return Tensor::from(std::span<const double>(values.data(), static_cast<size_t>(values.size())), {values.size()});
}

}  // namespace

SymmetricEigen symmetric_eigen(const Tensor& a) {
  const auto [values, vectors] = decompose("symmetric_eigen", a);
  return {to_vector(values), to_tensor(vectors)};
}

Tensor symmetric_eigenvalues(const Tensor& a) {
  return to_vector(decompose("symmetric_eigenvalues", a, Wanted::values).values);
}

Tensor symmetric_power(const Tensor& a, double exponent, double floor) {
  const auto [values, vectors] = decompose("symmetric_power", a);
  const Eigen::VectorXd powers = values.cwiseMax(floor).array().pow(exponent);
  return cast(to_tensor(vectors * powers.asDiagonal() * vectors.transpose()), a.dtype());
}

Tensor orthonormal(const Tensor& a) {
  Matrix matrix = to_matrix("orthonormal", a);
  if (matrix.size() == 0) return clone(a);
  const bool wide = matrix.rows() < matrix.cols();
  if (wide) matrix = matrix.transpose().eval();
  const Eigen::HouseholderQR<Matrix> qr(matrix);
  const Eigen::Index rank = matrix.cols();
  Matrix q = qr.householderQ() * Matrix::Identity(matrix.rows(), rank);
  for (Eigen::Index i = 0; i < rank; ++i)
    if (qr.matrixQR()(i, i) < 0) q.col(i) = -q.col(i);
  if (wide) q = q.transpose().eval();
  return cast(to_tensor(q), a.dtype());
}

}  // namespace gradus
