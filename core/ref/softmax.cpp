// Reference softmax and log-softmax along one dimension, and their gradients.
#include <algorithm>

#include "core/kernels.h"
#include "core/ref/loops.h"

namespace gradus::ref {

void softmax(const Tensor& x, int dim, bool log, Tensor& y) {
  visit_floating("softmax", x.dtype(), [&]<class T>(T) {
    const int64_t count = x.shape()[dim], x_step = x.strides()[dim], y_step = y.strides()[dim];
    if (count == 0) return;
    for_each_element<2>(without(x.shape(), dim), {without(x.strides(), dim), without(y.strides(), dim)},
                        [&](const Offsets<2>& at) {
                          const T* from = pointer<T>(x) + at[0];
                          T* to = pointer<T>(y) + at[1];
                          double largest = from[0], sum = 0;
                          for (int64_t i = 1; i < count; ++i) largest = std::max<double>(largest, from[i * x_step]);
                          for (int64_t i = 0; i < count; ++i) sum += std::exp(from[i * x_step] - largest);
                          const double log_sum = std::log(sum);
                          for (int64_t i = 0; i < count; ++i) {
                            const double shifted = from[i * x_step] - largest;
                            to[i * y_step] = static_cast<T>(log ? shifted - log_sum : std::exp(shifted) / sum);
                          }
                        });
  });
}

void softmax_backward(const Tensor& gy, const Tensor& y, int dim, bool log, Tensor& gx) {
  visit_floating("softmax_backward", y.dtype(), [&]<class T>(T) {
    const int64_t count = y.shape()[dim];
    const int64_t gy_step = gy.strides()[dim], y_step = y.strides()[dim], gx_step = gx.strides()[dim];
    for_each_element<3>(without(y.shape(), dim),
                        {without(gy.strides(), dim), without(y.strides(), dim), without(gx.strides(), dim)},
                        [&](const Offsets<3>& at) {
                          const T *grad = pointer<T>(gy) + at[0], *output = pointer<T>(y) + at[1];
                          T* to = pointer<T>(gx) + at[2];
                          double sum = 0;  // of gy for the logarithm, of gy * y otherwise
                          for (int64_t i = 0; i < count; ++i)
                            sum += log ? static_cast<double>(grad[i * gy_step])
                                       : static_cast<double>(grad[i * gy_step]) * output[i * y_step];
                          for (int64_t i = 0; i < count; ++i) {
                            const double g = grad[i * gy_step], o = output[i * y_step];
                            to[i * gx_step] = static_cast<T>(log ? g - std::exp(o) * sum : o * (g - sum));
                          }
                        });
  });
}

}  // namespace gradus::ref
