// Reference cross-entropy, row by row.
#include <algorithm>

#include "core/kernels.h"
#include "core/ref/loops.h"

namespace gradus::ref {

void cross_entropy(const Tensor& x, const Tensor& labels, double smoothing, Tensor& losses, Tensor& normalizers) {
  visit_floating("cross_entropy", x.dtype(), [&]<class T>(T) {
    const int64_t classes = x.shape()[1], step = x.strides()[1];
    for (int64_t n = 0; n < x.shape()[0]; ++n) {
      const T* row = pointer<T>(x) + n * x.strides()[0];
      double largest = row[0], sum = 0, below = 0;  // of all x - largest
      for (int64_t k = 1; k < classes; ++k) largest = std::max<double>(largest, row[k * step]);
      for (int64_t k = 0; k < classes; ++k) sum += std::exp(row[k * step] - largest), below += row[k * step] - largest;
      const double log_sum = std::log(sum);
      const double at_label = row[pointer<int64_t>(labels)[n * labels.strides()[0]] * step] - largest;
      double loss = log_sum - (1 - smoothing) * at_label;
      if (smoothing > 0) loss -= smoothing * below / static_cast<double>(classes);
      pointer<T>(losses)[n * losses.strides()[0]] = static_cast<T>(loss);
      pointer<double>(normalizers)[2 * n] = largest;
      pointer<double>(normalizers)[2 * n + 1] = log_sum;
    }
  });
}

void cross_entropy_backward(const Tensor& gy, const Tensor& x, const Tensor& labels, const Tensor& normalizers,
                            double smoothing, double share, Tensor& gx) {
  visit_floating("cross_entropy_backward", x.dtype(), [&]<class T>(T) {
    const int64_t classes = x.shape()[1];
    for (int64_t n = 0; n < x.shape()[0]; ++n) {
      const T* row = pointer<T>(x) + n * x.strides()[0];
      T* to = pointer<T>(gx) + n * gx.strides()[0];
      const double g = share * pointer<T>(gy)[n * gy.strides()[0]];
      const double largest = pointer<double>(normalizers)[2 * n], log_sum = pointer<double>(normalizers)[2 * n + 1];
      const int64_t label = pointer<int64_t>(labels)[n * labels.strides()[0]];
      for (int64_t k = 0; k < classes; ++k) {
        const double target = smoothing / static_cast<double>(classes) + (k == label ? 1 - smoothing : 0);
        to[k * gx.strides()[1]] =
            static_cast<T>(g * (std::exp((row[k * x.strides()[1]] - largest) - log_sum) - target));
      }
    }
  });
}

}  // namespace gradus::ref
