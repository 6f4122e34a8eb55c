// Matrix products of tensors with any strides: operands that cuBLAS can read go to it as they are, others as copies.
#include <algorithm>
#include <optional>

#include "core/as_layout.h"
#include "core/cuda/gemm.h"
#include "core/kernels.h"

namespace gradus::kernels {
namespace {

using cuda::Matrix;

/// The leading dimensions as one, where their strides allow that.
std::optional<int64_t> batch_stride(const Tensor& x) {
  int64_t stride = 0;
  int inner = -1;
  for (int d = x.rank() - 3; d >= 0; --d) {
    if (x.shape()[d] == 1) continue;
    if (inner < 0)
      stride = x.strides()[d];
    else if (x.strides()[d] != x.strides()[inner] * x.shape()[inner])
      return std::nullopt;
    inner = d;
  }
  return stride;
}

std::optional<Matrix> as_matrix(const Tensor& x) {
  const std::optional<int64_t> batch = batch_stride(x);
  if (!batch) return std::nullopt;
  const int64_t rows = x.size(-2), columns = x.size(-1);
  const int64_t row = x.strides()[x.rank() - 2], column = x.strides()[x.rank() - 1];
  if ((column == 1 || columns == 1) && (rows == 1 || row >= columns))
    return Matrix{x.raw(), rows == 1 ? columns : row, *batch, false};
  if ((row == 1 || rows == 1) && (columns == 1 || column >= rows))
    return Matrix{x.raw(), columns == 1 ? rows : column, *batch, true};
  return std::nullopt;
}

/// x itself where it is a batch of matrices of this dtype, else a row-major copy.
Tensor readable(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype && as_matrix(x)) return x;
  Tensor copy = Tensor::empty(x.shape(), dtype);
  kernels::copy(x, copy);
  return copy;
}

}  // namespace

void matmul(const Tensor& a, const Tensor& b, double alpha, double beta, Tensor& out) {
  // Beside bfloat16, float32 is rounded to it.
  const DType dtype = a.dtype() == DType::bfloat16 ? a.dtype() : b.dtype();
  const Tensor left = readable(a, dtype), right = readable(b, dtype);
  const std::optional<Matrix> to = as_matrix(out);
  if (!to) {
    Tensor copy = Tensor::empty(out.shape(), out.dtype());
    if (beta != 0) kernels::copy(out, copy);
    matmul(left, right, alpha, beta, copy);
    return kernels::copy(copy, out);
  }
  Matrix x = *as_matrix(left), y = *as_matrix(right), z = *to;
  int64_t m = out.size(-2), n = out.size(-1), batch = 1;
  for (int d = 0; d < out.rank() - 2; ++d) batch *= out.shape()[d];
  if (z.transposed) {  // the product of the transposes, in the other order
    std::swap(x, y);
    std::swap(m, n);
    for (Matrix* matrix : {&x, &y, &z}) matrix->transposed = !matrix->transposed;
  }
  cuda::gemm({.m = m,
              .n = n,
              .k = a.size(-1),
              .batch = batch,
              .a = x,
              .b = y,
              .c = z,
              .dtype = dtype,
              .result = out.dtype(),
              .alpha = alpha,
              .beta = beta});
}

void matmul_of_squares(const Tensor& a, const Tensor& b, Tensor& out) {
  Tensor squares = Tensor::empty_like(b);
  unary(UnaryOp::square, b, squares);
  matmul(a, squares, 1, 0, out);
}

}  // namespace gradus::kernels
