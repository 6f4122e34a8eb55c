// One strided batch of matrix products by cuBLAS, in row-major terms.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace gradus::cuda {

/// A matrix whose rows, or where `transposed` whose columns, are contiguous and `leading` elements apart; the same
/// matrix of the next product lies `batch_stride` elements further.
struct Matrix {
  void* data;
  int64_t leading, batch_stride;
  bool transposed;
};

/// c = alpha a b + beta c for each of `batch` products; a is m x k, b is k x n, c is m x n with contiguous rows.
/// Operands have one dtype; of bfloat16 the result may be float32.
struct Gemm {
  int64_t m, n, k, batch;
  Matrix a, b, c;
  DType dtype, result;
  double alpha, beta;
};
void gemm(const Gemm& product);

}  // namespace gradus::cuda
