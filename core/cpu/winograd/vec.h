// A SIMD register of floats for whichever instruction set the including file is compiled for, and the one-dimensional
// transforms of F(4, 3) on it. Include from passes.cpp only: everything here has a different meaning in each build.
#pragma once

#include <cstddef>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gradus::winograd::GRADUS_ISA {

#if defined(__AVX512F__)
inline constexpr int lanes = 16;
#elif defined(__AVX2__)
inline constexpr int lanes = 8;
#else
inline constexpr int lanes = 4;
#endif
typedef float Vec __attribute__((vector_size(lanes * sizeof(float))));

[[gnu::always_inline]] inline Vec load(const float* p) {
  Vec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
[[gnu::always_inline]] inline void store(float* p, Vec v) { __builtin_memcpy(p, &v, sizeof v); }
/// Past the caches, to memory that nothing reads soon; p is aligned to the register's size.
[[gnu::always_inline]] inline void stream(float* p, Vec v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, v);
#elif defined(__AVX2__)
  _mm256_stream_ps(p, v);
#else
  store(p, v);
#endif
}
/// Makes streamed stores visible before whatever follows.
inline void finish_streaming() {
#if defined(__AVX2__)
  _mm_sfence();
#endif
}
[[gnu::always_inline]] inline Vec broadcast(float x) { return x - Vec{}; }

// The transforms follow from the points 0, +-a, +-b, infinity by Lagrange interpolation (Cook-Toom). With d the data,
// g the filter and y the result of a correlation of four outputs: y = A^T [ (G g) . (B^T d) ].
inline constexpr double point_a = 0.625, point_b = 1.5;
inline constexpr double a2d = point_a * point_a, b2d = point_b * point_b;
inline constexpr float a1 = point_a, a2 = a2d, a3 = a2d * point_a, b1 = point_b, b2 = b2d, b3 = b2d * point_b;
inline constexpr float a2b2 = a2d * b2d, a2_plus_b2 = a2d + b2d;
inline constexpr double scale_zero_d = 1 / (a2d * b2d), scale_a_d = 1 / (2 * a2d * (a2d - b2d)),
                        scale_b_d = 1 / (2 * b2d * (b2d - a2d));
inline constexpr float scale_zero = scale_zero_d, scale_a = scale_a_d, scale_b = scale_b_d;
inline constexpr float scale_a_a1 = scale_a_d * point_a, scale_a_a2 = scale_a_d * a2d;
inline constexpr float scale_b_b1 = scale_b_d * point_b, scale_b_b2 = scale_b_d * b2d;

/// B^T: six data values to the six points.
[[gnu::always_inline]] inline void data_to_points(const Vec (&d)[6], Vec (&out)[6]) {
  const Vec even_a = d[4] - b2 * d[2], odd_a = d[3] - b2 * d[1];
  const Vec even_b = d[4] - a2 * d[2], odd_b = d[3] - a2 * d[1];
  out[0] = a2b2 * d[0] + (d[4] - a2_plus_b2 * d[2]);
  out[1] = even_a + a1 * odd_a;
  out[2] = even_a - a1 * odd_a;
  out[3] = even_b + b1 * odd_b;
  out[4] = even_b - b1 * odd_b;
  out[5] = a2b2 * d[1] + (d[5] - a2_plus_b2 * d[3]);
}

/// A^T: six points to four outputs.
[[gnu::always_inline]] inline void points_to_outputs(const Vec (&m)[6], Vec (&out)[4]) {
  const Vec sum_a = m[1] + m[2], difference_a = m[1] - m[2], sum_b = m[3] + m[4], difference_b = m[3] - m[4];
  out[0] = m[0] + sum_a + sum_b;
  out[1] = b1 * difference_b + a1 * difference_a;
  out[2] = b2 * sum_b + a2 * sum_a;
  out[3] = b3 * difference_b + a3 * difference_a + m[5];
}

/// A: four outputs to the six points (the transpose, for gradients of the output).
[[gnu::always_inline]] inline void outputs_to_points(const Vec (&y)[4], Vec (&out)[6]) {
  const Vec even_a = y[0] + a2 * y[2], odd_a = y[1] + a2 * y[3];
  const Vec even_b = y[0] + b2 * y[2], odd_b = y[1] + b2 * y[3];
  out[0] = y[0];
  out[1] = even_a + a1 * odd_a;
  out[2] = even_a - a1 * odd_a;
  out[3] = even_b + b1 * odd_b;
  out[4] = even_b - b1 * odd_b;
  out[5] = y[3];
}

/// G: three filter taps to the six points.
[[gnu::always_inline]] inline void filter_to_points(const Vec (&g)[3], Vec (&out)[6]) {
  const Vec even_a = scale_a * g[0] + scale_a_a2 * g[2], odd_a = scale_a_a1 * g[1];
  const Vec even_b = scale_b * g[0] + scale_b_b2 * g[2], odd_b = scale_b_b1 * g[1];
  out[0] = scale_zero * g[0];
  out[1] = even_a + odd_a;
  out[2] = even_a - odd_a;
  out[3] = even_b + odd_b;
  out[4] = even_b - odd_b;
  out[5] = g[2];
}

/// G^T: six points to three filter taps (the transpose, for gradients of the filter).
[[gnu::always_inline]] inline void points_to_filter(const Vec (&u)[6], Vec (&out)[3]) {
  const Vec sum_a = u[1] + u[2], difference_a = u[1] - u[2], sum_b = u[3] + u[4], difference_b = u[3] - u[4];
  out[0] = scale_zero * u[0] + scale_a * sum_a + scale_b * sum_b;
  out[1] = scale_a_a1 * difference_a + scale_b_b1 * difference_b;
  out[2] = scale_a_a2 * sum_a + scale_b_b2 * sum_b + u[5];
}

}  // namespace gradus::winograd::GRADUS_ISA
