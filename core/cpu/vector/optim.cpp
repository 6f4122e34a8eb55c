// Optimizers' updates of flat arrays.
#include "core/cpu/vector/kernels.h"

namespace gradus::cpu::vector::GRADUS_ISA {

namespace {

void adam(const AdamFactors& f, const float* gradient, float* m, float* v, float* direction, int64_t n) {
  const float beta1 = f.beta1, rest1 = f.rest1, beta2 = f.beta2, rest2 = f.rest2;
  const float scale1 = f.scale1, scale2 = f.scale2, eps = f.eps;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const float g = gradient[i];
    const float first = beta1 * m[i] + rest1 * g;
    const float second = beta2 * v[i] + rest2 * g * g;
    m[i] = first;
    v[i] = second;
    direction[i] = first * scale1 / (__builtin_sqrtf(second) * scale2 + eps);
  }
}

}  // namespace

void add_optim(Kernels& table) { table.adam = adam; }

}  // namespace gradus::cpu::vector::GRADUS_ISA
