// The one-dimensional transforms: how a tile of data and three filter taps become points whose products, point by
// point, make a tile of outputs. Include from passes.cpp only.
//
// With d the data, g the filter and y the result: y = A^T [ (G g) . (B^T d) ]. The matrices follow from the points
// +-a, +-b, infinity, and 0 where there is a sixth, by Lagrange interpolation (Cook-Toom); the scales of B^T are moved
// into G. A scheme has
//   data, step      values that a tile reads, and how far apart the tiles' first ones lie
//   points          products of a tile
//   outputs         values that a tile writes
// and the transforms that its passes need, named by what they turn into what. A filter always has six points: those
// that several products share are stored once, and shares(i) counts the products of point i.
#pragma once

#include "core/cpu/winograd/vec.h"

namespace gradus::winograd::GRADUS_ISA {

inline constexpr int taps = 3, filter_points = 6;

/// Stride 1 by F(4, 3): 6 products for 4 outputs where the plain sum has 12. For the gradient of the input too, where
/// the taps are reversed.
struct Dense {
  static constexpr int data = 6, step = 4, points = 6, outputs = 4;
  static constexpr int shares(int /*filter_point*/) { return 1; }

  static constexpr double a = 0.625, b = 1.5, aa = a * a, bb = b * b;
  static constexpr double scale_zero_d = 1 / (aa * bb), scale_a_d = 1 / (2 * aa * (aa - bb)),
                          scale_b_d = 1 / (2 * bb * (bb - aa));
  static constexpr float a1 = a, a2 = aa, a3 = aa * a, b1 = b, b2 = bb, b3 = bb * b;
  static constexpr float a2b2 = aa * bb, a2_plus_b2 = aa + bb;
  static constexpr float scale_zero = scale_zero_d, scale_a = scale_a_d, scale_b = scale_b_d;
  static constexpr float scale_a_a1 = scale_a_d * a, scale_a_a2 = scale_a_d * aa;
  static constexpr float scale_b_b1 = scale_b_d * b, scale_b_b2 = scale_b_d * bb;

  [[gnu::always_inline]] static inline void data_to_points(const Vec (&d)[data], Vec (&out)[points]) {
    const Vec even_a = d[4] - b2 * d[2], odd_a = d[3] - b2 * d[1];
    const Vec even_b = d[4] - a2 * d[2], odd_b = d[3] - a2 * d[1];
    out[0] = a2b2 * d[0] + (d[4] - a2_plus_b2 * d[2]);
    out[1] = even_a + a1 * odd_a;
    out[2] = even_a - a1 * odd_a;
    out[3] = even_b + b1 * odd_b;
    out[4] = even_b - b1 * odd_b;
    out[5] = a2b2 * d[1] + (d[5] - a2_plus_b2 * d[3]);
  }

  [[gnu::always_inline]] static inline void points_to_outputs(const Vec (&m)[points], Vec (&out)[outputs]) {
    const Vec sum_a = m[1] + m[2], difference_a = m[1] - m[2], sum_b = m[3] + m[4], difference_b = m[3] - m[4];
    out[0] = m[0] + sum_a + sum_b;
    out[1] = b1 * difference_b + a1 * difference_a;
    out[2] = b2 * sum_b + a2 * sum_a;
    out[3] = b3 * difference_b + a3 * difference_a + m[5];
  }

  /// The transpose of points_to_outputs, for gradients of the output.
  [[gnu::always_inline]] static inline void outputs_to_points(const Vec (&y)[outputs], Vec (&out)[points]) {
    const Vec even_a = y[0] + a2 * y[2], odd_a = y[1] + a2 * y[3];
    const Vec even_b = y[0] + b2 * y[2], odd_b = y[1] + b2 * y[3];
    out[0] = y[0];
    out[1] = even_a + a1 * odd_a;
    out[2] = even_a - a1 * odd_a;
    out[3] = even_b + b1 * odd_b;
    out[4] = even_b - b1 * odd_b;
    out[5] = y[3];
  }

  [[gnu::always_inline]] static inline void filter_to_points(const Vec (&g)[taps], Vec (&out)[filter_points]) {
    const Vec even_a = scale_a * g[0] + scale_a_a2 * g[2], odd_a = scale_a_a1 * g[1];
    const Vec even_b = scale_b * g[0] + scale_b_b2 * g[2], odd_b = scale_b_b1 * g[1];
    out[0] = scale_zero * g[0];
    out[1] = even_a + odd_a;
    out[2] = even_a - odd_a;
    out[3] = even_b + odd_b;
    out[4] = even_b - odd_b;
    out[5] = g[2];
  }

  /// The transpose of filter_to_points, for gradients of the filter.
  [[gnu::always_inline]] static inline void points_to_filter(const Vec (&u)[filter_points], Vec (&out)[taps]) {
    const Vec sum_a = u[1] + u[2], difference_a = u[1] - u[2], sum_b = u[3] + u[4], difference_b = u[3] - u[4];
    out[0] = scale_zero * u[0] + scale_a * sum_a + scale_b * sum_b;
    out[1] = scale_a_a1 * difference_a + scale_b_b1 * difference_b;
    out[2] = scale_a_a2 * sum_a + scale_b_b2 * sum_b + u[5];
  }
};

/// F(4, 2): five products for four outputs of two taps.
struct TwoTaps {
  static constexpr double a = 0.375, b = 1.25, aa = a * a, bb = b * b;
  static constexpr double scale_a_d = 1 / (2 * (aa - bb));
  static constexpr float a1 = a, a2 = aa, a3 = aa * a, b1 = b, b2 = bb, b3 = bb * b;
  static constexpr float a2b2 = aa * bb, a2_plus_b2 = aa + bb;
  static constexpr float scale = scale_a_d, scale_over_a = scale_a_d / a, scale_over_b = scale_a_d / b;

  /// Of the five data values d[0], d[stride], ... to out[0 .. 4].
  template <int stride>
  [[gnu::always_inline]] static inline void data_to_points(const Vec* d, Vec* out) {
    const Vec odd_a = d[3 * stride] - b2 * d[stride], even_a = d[2 * stride] - b2 * d[0];
    const Vec odd_b = d[3 * stride] - a2 * d[stride], even_b = d[2 * stride] - a2 * d[0];
    out[0] = odd_a + a1 * even_a;
    out[1] = odd_a - a1 * even_a;
    out[2] = odd_b + b1 * even_b;
    out[3] = odd_b - b1 * even_b;
    out[4] = a2b2 * d[0] + (d[4 * stride] - a2_plus_b2 * d[2 * stride]);
  }

  [[gnu::always_inline]] static inline void points_to_outputs(const Vec* m, Vec (&out)[4]) {
    const Vec sum_a = m[0] + m[1], difference_a = m[0] - m[1], sum_b = m[2] + m[3], difference_b = m[2] - m[3];
    out[0] = sum_a + sum_b;
    out[1] = b1 * difference_b + a1 * difference_a;
    out[2] = b2 * sum_b + a2 * sum_a;
    out[3] = b3 * difference_b + a3 * difference_a + m[4];
  }

  [[gnu::always_inline]] static inline void outputs_to_points(const Vec (&y)[4], Vec* out) {
    const Vec even_a = y[0] + a2 * y[2], odd_a = y[1] + a2 * y[3];
    const Vec even_b = y[0] + b2 * y[2], odd_b = y[1] + b2 * y[3];
    out[0] = even_a + a1 * odd_a;
    out[1] = even_a - a1 * odd_a;
    out[2] = even_b + b1 * odd_b;
    out[3] = even_b - b1 * odd_b;
    out[4] = y[3];
  }

  [[gnu::always_inline]] static inline void filter_to_points(Vec first, Vec second, Vec* out) {
    const Vec shared = scale * second;
    out[0] = shared + scale_over_a * first;
    out[1] = shared - scale_over_a * first;
    out[2] = -shared - scale_over_b * first;
    out[3] = scale_over_b * first - shared;
    out[4] = second;
  }

  [[gnu::always_inline]] static inline void points_to_filter(const Vec* u, Vec& first, Vec& second) {
    first = scale_over_a * (u[0] - u[1]) - scale_over_b * (u[2] - u[3]);
    second = scale * (u[0] + u[1] - u[2] - u[3]) + u[4];
  }
};

/// Stride 2: the outer taps meet every other value, by F(4, 2), and the middle tap the values between: 5 + 4 products
/// for 4 outputs where the plain sum has 12. The products of the middle tap share its filter.
struct Strided {
  static constexpr int data = 9, step = 8, points = 9, outputs = 4;
  static constexpr int shares(int filter_point) { return filter_point < 5 ? 1 : 4; }

  [[gnu::always_inline]] static inline void data_to_points(const Vec (&d)[data], Vec (&out)[points]) {
    TwoTaps::data_to_points<2>(d, out);
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) out[5 + k] = d[2 * k + 1];
  }

  [[gnu::always_inline]] static inline void points_to_outputs(const Vec (&m)[points], Vec (&out)[outputs]) {
    TwoTaps::points_to_outputs(m, out);
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) out[k] += m[5 + k];
  }

  [[gnu::always_inline]] static inline void outputs_to_points(const Vec (&y)[outputs], Vec (&out)[points]) {
    TwoTaps::outputs_to_points(y, out);
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) out[5 + k] = y[k];
  }

  [[gnu::always_inline]] static inline void filter_to_points(const Vec (&g)[taps], Vec (&out)[filter_points]) {
    TwoTaps::filter_to_points(g[0], g[2], out);
    out[5] = g[1];
  }

  [[gnu::always_inline]] static inline void points_to_filter(const Vec (&u)[filter_points], Vec (&out)[taps]) {
    TwoTaps::points_to_filter(u, out[0], out[2]);
    out[1] = u[5];
  }
};

/// The gradient of the input at stride 2, with reversed taps: every other value comes from two taps, the ones between
/// from one. Those between come first where the padding is odd.
template <bool odd_padding>
struct StridedGradient {
  static constexpr int data = 5, step = 4, points = 9, outputs = 8;
  static constexpr int shares(int filter_point) { return Strided::shares(filter_point); }

  [[gnu::always_inline]] static inline void data_to_points(const Vec (&d)[data], Vec (&out)[points]) {
    TwoTaps::data_to_points<1>(d, out);
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) out[5 + k] = d[odd_padding ? k : k + 1];
  }

  [[gnu::always_inline]] static inline void points_to_outputs(const Vec (&m)[points], Vec (&out)[outputs]) {
    Vec two_taps[4];
    TwoTaps::points_to_outputs(m, two_taps);
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      out[2 * k] = odd_padding ? m[5 + k] : two_taps[k];
      out[2 * k + 1] = odd_padding ? two_taps[k] : m[5 + k];
    }
  }

  [[gnu::always_inline]] static inline void filter_to_points(const Vec (&g)[taps], Vec (&out)[filter_points]) {
    Strided::filter_to_points(g, out);
  }
};

}  // namespace gradus::winograd::GRADUS_ISA
