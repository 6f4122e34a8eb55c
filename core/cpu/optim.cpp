// The CPU's kernels of optimizers: flat loops over dense float32 tensors; the reference's otherwise.
#include <cmath>

#include "core/kernels.h"
#include "core/parallel.h"

namespace gradus::kernels {

void adam(const Tensor& g, const AdamSpec& spec, Tensor& m, Tensor& v, Tensor& out) {
  const bool flat =
      g.is_dense() && m.strides() == g.strides() && v.strides() == g.strides() && out.strides() == g.strides();
  if (g.dtype() != DType::float32 || !flat) return ref::adam(g, spec, m, v, out);
  const float* gradient = static_cast<const float*>(g.raw());
  float *first = static_cast<float*>(m.raw()), *second = static_cast<float*>(v.raw());
  float* to = static_cast<float*>(out.raw());
  const auto beta1 = static_cast<float>(spec.beta1), rest1 = static_cast<float>(1 - spec.beta1);
  const auto beta2 = static_cast<float>(spec.beta2), rest2 = static_cast<float>(1 - spec.beta2);
  const auto scale1 = static_cast<float>(1 / spec.correction1);
  const auto scale2 = static_cast<float>(1 / std::sqrt(spec.correction2));
  const auto eps = static_cast<float>(spec.eps);
  parallel_for(g.numel(), 1 << 14, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float x = gradient[i];
      const float a = first[i] = beta1 * first[i] + rest1 * x;
      const float b = second[i] = beta2 * second[i] + rest2 * x * x;
      to[i] = a * scale1 / (std::sqrt(b) * scale2 + eps);
    }
  });
}

}  // namespace gradus::kernels
