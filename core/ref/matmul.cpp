// Reference matrix product, one row of the result at a time.
#include <vector>

#include "core/kernels.h"
#include "core/ref/loops.h"
#include "core/ref/widened.h"

namespace gradus::ref {

void matmul(const Tensor& a, const Tensor& b, double alpha, double beta, Tensor& out) {
  if (is_bfloat16(a)) {
    Narrowed result(out);
    if (beta != 0) copy(out, result);
    return matmul(widened(a), widened(b), alpha, beta, result);
  }
  visit_floating("matmul", out.dtype(), [&]<class T>(T) {
    const int rank = out.rank();
    const int row = rank - 2, column = rank - 1;
    const int64_t m = out.shape()[row], n = out.shape()[column], inner = a.shape()[column];
    const auto leading = [&](Dims dims) { return without(without(dims, column), row); };
    const int64_t a_row = a.strides()[row], a_column = a.strides()[column];
    const int64_t b_row = b.strides()[row], b_column = b.strides()[column];
    const int64_t out_row = out.strides()[row], out_column = out.strides()[column];
    std::vector<double> packed(static_cast<size_t>(inner * n)), sums(static_cast<size_t>(n));
    for_each_element<3>(leading(out.shape()), {leading(a.strides()), leading(b.strides()), leading(out.strides())},
                        [&](const Offsets<3>& at) {
                          const T *left = pointer<T>(a) + at[0], *right = pointer<T>(b) + at[1];
                          T* to = pointer<T>(out) + at[2];
                          for (int64_t k = 0; k < inner; ++k)
                            for (int64_t j = 0; j < n; ++j) packed[k * n + j] = right[k * b_row + j * b_column];
                          for (int64_t i = 0; i < m; ++i) {
                            sums.assign(sums.size(), 0);
                            for (int64_t k = 0; k < inner; ++k) {
                              const double factor = left[i * a_row + k * a_column];
                              for (int64_t j = 0; j < n; ++j) sums[j] += factor * packed[k * n + j];
                            }
                            for (int64_t j = 0; j < n; ++j) {
                              T& target = to[i * out_row + j * out_column];
                              target = static_cast<T>(beta == 0 ? alpha * sums[j] : alpha * sums[j] + beta * target);
                            }
                          }
                        });
  });
}

void matmul_of_squares(const Tensor& a, const Tensor& b, Tensor& out) {
  Tensor squares = Tensor::empty_like(b);
  unary(UnaryOp::square, b, squares);
  matmul(a, squares, 1, 0, out);
}

}  // namespace gradus::ref
