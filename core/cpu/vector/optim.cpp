// Optimizers' updates of flat arrays.
#include "core/cpu/vector/kernels.h"
#include "core/cpu/vector/math.h"
#include "core/cpu/vector/pack.h"

namespace gradus::cpu::vector::GRADUS_ISA {

namespace {

/// Gives each element's direction to `take`. The second moment is that of what `power` returns for an element and its
/// gradient; the direction divides by its root, or by itself.
template <bool root, class Gradient, class Power, class Take>
inline void directions(const AdamFactors& f, Gradient gradient, Power power, float* m, float* v, int64_t n, Take take) {
  const float beta1 = f.beta1, rest1 = f.rest1, beta2 = f.beta2, rest2 = f.rest2;
  const float scale1 = f.scale1, scale2 = root ? f.scale2 : f.scale2 * f.scale2, eps = f.eps;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const float g = gradient(i);
    const float first = beta1 * m[i] + rest1 * g;
    const float second = beta2 * v[i] + power(i, g, rest2);
    m[i] = first;
    v[i] = second;
    take(i, first * scale1 / ((root ? __builtin_sqrtf(second) : second) * scale2 + eps));
  }
}

template <class Gradient, class Take>
inline void adam_directions(const AdamFactors& f, Gradient gradient, float* m, float* v, int64_t n, Take take) {
  directions<true>(
      f, gradient, [](int64_t, float g, float rest2) { return rest2 * g * g; }, m, v, n, take);
}

template <bool magnitudes, bool root, class Take>
inline void curvature_directions(const AdamFactors& f, const float* g, const float* curvature, float* m, float* v,
                                 int64_t n, Take take) {
  const auto power = [&](int64_t i, float, float rest2) {
    const float h = curvature[i];
    return magnitudes ? rest2 * __builtin_fabsf(h) : rest2 * h * h;
  };
  directions<root>(
      f, [&](int64_t i) { return g[i]; }, power, m, v, n, take);
}

void adam(const AdamFactors& f, const float* g, float* m, float* v, float* direction, int64_t n) {
  adam_directions(
      f, [&](int64_t i) { return g[i]; }, m, v, n, [&](int64_t i, float d) { direction[i] = d; });
}

void adam_step(const AdamFactors& f, const StepFactors& step, const float* g, float* m, float* v, float* w, int64_t n) {
  adam_directions(
      f, [&](int64_t i) { return g[i]; }, m, v, n,
      [&](int64_t i, float d) { w[i] = multiply_add(step.along, d, step.keep * w[i]); });
}

void adam_step_of_product(const AdamFactors& f, const StepFactors& step, float factor, const float* a, const float* b,
                          float* m, float* v, float* w, int64_t n, const Ahead& ahead) {
  constexpr int64_t line = 16;
  const auto part = [&](int64_t begin, int64_t count) {
    adam_directions(
        f, [&](int64_t i) { return factor * (a[begin + i] * b[begin + i]); }, m + begin, v + begin, count,
        [&](int64_t i, float d) { w[begin + i] = multiply_add(step.along, d, step.keep * w[begin + i]); });
  };
  int64_t begin = 0;
  for (; begin + line <= n; begin += line) {
    for (int i = 0; i < ahead.count; ++i) __builtin_prefetch(ahead.arrays[i] + begin);
    part(begin, line);
  }
  if (begin < n) part(begin, n - begin);
}

void momentum_step(float momentum, const StepFactors& step, const float* g, float* v, float* w, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const float direction = multiply_add(1, g[i], momentum * v[i]);
    v[i] = direction;
    w[i] = multiply_add(step.along, direction, step.keep * w[i]);
  }
}

void divide_by_root(const SquaresFactors& f, const float* g, float* s, float* direction, int64_t n) {
  const float keep = f.keep, add = f.add, eps = f.eps, factor = f.factor;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const float sum = multiply_add(add, g[i] * g[i], keep * s[i]);
    s[i] = sum;
    direction[i] = factor * (g[i] / (__builtin_sqrtf(sum) + eps));
  }
}

template <bool magnitudes, bool root>
void adam_of_curvature(const AdamFactors& f, const float* g, const float* h, float* m, float* v, float* direction,
                       int64_t n) {
  curvature_directions<magnitudes, root>(f, g, h, m, v, n, [&](int64_t i, float d) { direction[i] = d; });
}

template <bool magnitudes, bool root>
void curvature_step(const AdamFactors& f, const StepFactors& step, const float* g, const float* h, float* m, float* v,
                    float* w, int64_t n) {
  curvature_directions<magnitudes, root>(
      f, g, h, m, v, n, [&](int64_t i, float d) { w[i] = multiply_add(step.along, d, step.keep * w[i]); });
}

template <bool magnitudes, bool root>
void add_curvature(Kernels& table) {
  table.adam_of_curvature[magnitudes][root] = adam_of_curvature<magnitudes, root>;
  table.curvature_step[magnitudes][root] = curvature_step<magnitudes, root>;
}

template <int i>
struct Index {
  static constexpr int value = i;
};
/// f(0), f(1), ... as constants: arrays that they index stay in registers.
template <int count, int i = 0, class F>
inline void unrolled(F f) {
  if constexpr (i < count) {
    f(Index<i>());
    unrolled<count, i + 1>(f);
  }
}

constexpr int n = nine, packs = (n + width - 1) / width;
static_assert(packs * width - n <= nines_room);

/// A row of nine in packs, and zeros.
inline void load_row(const float* from, Pack* row) {
  unrolled<packs>([&](auto q) {
    constexpr int begin = q.value * width;
    row[q.value] = n - begin >= width ? load(from + begin) : load_first(from + begin, n - begin);
  });
}

/// Every element of x is spread once, and multiplies a column of P and a row before.
template <bool correlate>
void mix_nines(const float* x, const float* previous, const float* transposed_p, int64_t rows, float* u, double* totals,
               const Ahead& ahead) {
  Pack columns[n][packs], sums[n][packs];
  unrolled<n>([&](auto i) {
    load_row(transposed_p + i.value * n, columns[i.value]);
    unrolled<packs>([&](auto q) { sums[i.value][q.value] = Pack{}; });
  });
  for (int64_t row = 0; row < rows; ++row, x += n, u += n) {
    for (int a = 0; a < ahead.count; ++a) __builtin_prefetch(ahead.arrays[a] + row * n);
    Pack result[packs], before[packs];
    unrolled<packs>([&](auto q) { result[q.value] = Pack{}; });
    if constexpr (correlate) {
      if (row + 1 < rows)  // what lies beyond the row falls into columns that nobody reads
        unrolled<packs>([&](auto q) { before[q.value] = load(previous + q.value * width); });
      else
        load_row(previous, before);
      previous += n;
    }
    unrolled<n>([&](auto i) {
      const Pack factor = spread(x[i.value]);
      unrolled<packs>([&](auto q) {
        result[q.value] = multiply_add(factor, columns[i.value][q.value], result[q.value]);
        if constexpr (correlate) sums[i.value][q.value] = multiply_add(factor, before[q.value], sums[i.value][q.value]);
      });
    });
    unrolled<packs>([&](auto q) { store(u + q.value * width, result[q.value]); });
  }
  if constexpr (correlate) {
    float lines[n][packs * width];
    unrolled<n>([&](auto i) {
      unrolled<packs>([&](auto q) { store(lines[i.value] + q.value * width, sums[i.value][q.value]); });
    });
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j) totals[i * n + j] += static_cast<double>(lines[i][j]);
  }
}

void mix_nines(const float* x, const float* previous, const float* transposed_p, int64_t rows, float* u, double* totals,
               const Ahead& ahead) {
  (previous ? mix_nines<true> : mix_nines<false>)(x, previous, transposed_p, rows, u, totals, ahead);
}

double mix_ones(const float* x, const float* previous, float p, float* u, int64_t n) {
  constexpr int lanes = 4;  // independent sums, to hide the latency of addition
  Pack sums[lanes] = {};
  const Pack factor = spread(p);
  int64_t i = 0;
  for (; i + lanes * width <= n; i += lanes * width)
    for (int j = 0; j < lanes; ++j) {
      const Pack a = load(x + i + j * width);
      store(u + i + j * width, factor * a);
      sums[j] = multiply_add(a, load(previous + i + j * width), sums[j]);
    }
  const Pack sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  double total = 0;
  for (int j = 0; j < width; ++j) total += static_cast<double>(sum[j]);
  for (; i < n; ++i) {
    u[i] = p * x[i];
    total += static_cast<double>(x[i]) * static_cast<double>(previous[i]);
  }
  return total;
}

}  // namespace

void add_optim(Kernels& table) {
  table.adam = adam;
  table.adam_step = adam_step;
  table.adam_step_of_product = adam_step_of_product;
  table.momentum_step = momentum_step;
  table.divide_by_root = divide_by_root;
  table.mix_ones = mix_ones;
  add_curvature<false, false>(table);
  add_curvature<false, true>(table);
  add_curvature<true, false>(table);
  add_curvature<true, true>(table);
  table.mix_nines = mix_nines;
}

}  // namespace gradus::cpu::vector::GRADUS_ISA
