// Optimizers' updates of flat arrays.
#include "core/cpu/vector/kernels.h"
#include "core/cpu/vector/pack.h"

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

template <bool magnitudes, bool root>
void adam_of_curvature(const AdamFactors& f, const float* gradient, const float* curvature, float* m, float* v,
                       float* direction, int64_t n) {
  const float beta1 = f.beta1, rest1 = f.rest1, beta2 = f.beta2, rest2 = f.rest2;
  const float scale1 = f.scale1, scale2 = root ? f.scale2 : f.scale2 * f.scale2, eps = f.eps;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const float h = curvature[i];
    const float first = beta1 * m[i] + rest1 * gradient[i];
    const float second = beta2 * v[i] + (magnitudes ? rest2 * __builtin_fabsf(h) : rest2 * h * h);
    m[i] = first;
    v[i] = second;
    direction[i] = first * scale1 / ((root ? __builtin_sqrtf(second) : second) * scale2 + eps);
  }
}

constexpr int n = nine, packs = (n + width - 1) / width;
static_assert(packs * width - n <= nines_room);

/// A row of nine in packs, and zeros.
inline void load_row(const float* from, Pack* row) {
  for (int q = 0; q < packs; ++q)
    row[q] = n - q * width >= width ? load(from + q * width) : load_first(from + q * width, n - q * width);
}

/// Every element of x is spread once, and multiplies a column of P and a row before.
template <bool correlate>
void mix_nines(const float* x, const float* previous, const float* transposed_p, int64_t rows, float* u,
               double* totals) {
  Pack columns[n][packs], sums[n][packs] = {};
  for (int i = 0; i < n; ++i) load_row(transposed_p + i * n, columns[i]);
  for (int64_t row = 0; row < rows; ++row, x += n, u += n) {
    Pack result[packs] = {}, before[packs];
    if constexpr (correlate) {
      if (row + 1 < rows) {  // what lies beyond the row falls into columns that nobody reads
        for (int q = 0; q < packs; ++q) before[q] = load(previous + q * width);
      } else {
        load_row(previous, before);
      }
      previous += n;
    }
    for (int i = 0; i < n; ++i) {
      const Pack factor = spread(x[i]);
      for (int q = 0; q < packs; ++q) {
        result[q] = multiply_add(factor, columns[i][q], result[q]);
        if constexpr (correlate) sums[i][q] = multiply_add(factor, before[q], sums[i][q]);
      }
    }
    for (int q = 0; q < packs; ++q) store(u + q * width, result[q]);
  }
  if constexpr (correlate)
    for (int i = 0; i < n; ++i) {
      float line[packs * width];
      for (int q = 0; q < packs; ++q) store(line + q * width, sums[i][q]);
      for (int j = 0; j < n; ++j) totals[i * n + j] += static_cast<double>(line[j]);
    }
}

void mix_nines(const float* x, const float* previous, const float* transposed_p, int64_t rows, float* u,
               double* totals) {
  (previous ? mix_nines<true> : mix_nines<false>)(x, previous, transposed_p, rows, u, totals);
}

}  // namespace

void add_optim(Kernels& table) {
  table.adam = adam;
  table.adam_of_curvature[false][false] = adam_of_curvature<false, false>;
  table.adam_of_curvature[false][true] = adam_of_curvature<false, true>;
  table.adam_of_curvature[true][false] = adam_of_curvature<true, false>;
  table.adam_of_curvature[true][true] = adam_of_curvature<true, true>;
  table.mix_nines = mix_nines;
}

}  // namespace gradus::cpu::vector::GRADUS_ISA
