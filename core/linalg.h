// Small dense factorizations on the host in double precision: for diagnostics and initialization, not for hot loops.
#pragma once

#include "core/tensor.h"

namespace gradus {

struct SymmetricEigen {
  Tensor values;   ///< [n] float64, ascending
  Tensor vectors;  ///< [n, n] float64, one eigenvector per column
};
/// Eigenvalues and eigenvectors of (a + a^T) / 2 for a square matrix of any floating dtype.
SymmetricEigen symmetric_eigen(const Tensor& a);
/// The values alone, for a fraction of the work.
Tensor symmetric_eigenvalues(const Tensor& a);
/// ((a + a^T) / 2)^exponent in a's dtype, where eigenvalues below `floor` count as it.
Tensor symmetric_power(const Tensor& a, double exponent, double floor);
/// A matrix of a's shape with orthonormal columns (or rows, where it is wide) that span a's: the Q of a QR
/// decomposition, signs fixed so that R has a positive diagonal.
Tensor orthonormal(const Tensor& a);

}  // namespace gradus
