// The CPU's kernels of optimizers: flat vector loops over dense float32 tensors; the reference's otherwise.
#include <cmath>

#include "core/cpu/loops.h"
#include "core/cpu/vector/kernels.h"
#include "core/kernels.h"
#include "core/parallel.h"

namespace gradus::kernels {

void adam(const Tensor& g, const AdamSpec& spec, Tensor& m, Tensor& v, Tensor& direction) {
  const auto alike = [&](const Tensor& x) { return x.strides() == g.strides(); };
  if (g.dtype() != DType::float32 || !g.is_dense() || !alike(m) || !alike(v) || !alike(direction))
    return ref::adam(g, spec, m, v, direction);
  const auto narrow = [](double x) { return static_cast<float>(x); };
  const cpu::vector::AdamFactors factors{.beta1 = narrow(spec.beta1),
                                         .rest1 = narrow(1 - spec.beta1),
                                         .beta2 = narrow(spec.beta2),
                                         .rest2 = narrow(1 - spec.beta2),
                                         .scale1 = narrow(1 / spec.correction1),
                                         .scale2 = narrow(1 / std::sqrt(spec.correction2)),
                                         .eps = narrow(spec.eps)};
  const auto at = [](const Tensor& x) { return static_cast<float*>(x.raw()); };
  parallel_for(g.numel(), cpu::elementwise_grain, [&, f = cpu::vector::kernels().adam](int64_t begin, int64_t end) {
    f(factors, at(g) + begin, at(m) + begin, at(v) + begin, at(direction) + begin, end - begin);
  });
}

}  // namespace gradus::kernels
