// The vector kernels: loops over flat arrays, most of them of float32 alone, built several times for different
// instruction sets from the same source, and the table through which the rest of core/cpu calls the build that fits the
// processor.
//
// The files of this directory are compiled with instructions that the processor may lack, so they use no inline
// function of another header: the linker could keep that copy for the whole program.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/cpu/isa.h"
#include "core/kernels.h"

namespace gradus::cpu::vector {

inline constexpr int unary_count = 0
#define GRADUS_UNARY(name, accepts) +1
#include "core/elementwise.inc"
#undef GRADUS_UNARY
    ;
inline constexpr int binary_count = 0
#define GRADUS_BINARY(name, text, accepts) +1
#define GRADUS_COMPARISON GRADUS_BINARY
#include "core/elementwise.inc"
#undef GRADUS_COMPARISON
#undef GRADUS_BINARY
    ;

/// Which operands of a binary kernel are arrays; the other one is a single element.
enum class Form : uint8_t { both, left, right };
inline constexpr int form_count = 3;

/// Element (i, j) of a matrix lies at data[i * row_stride + j * column_stride].
template <class T>
struct Strided {
  const T* data;
  int64_t row_stride, column_stride;
};

/// The type that products of T are summed in.
template <class T>
using Sum = std::conditional_t<std::is_same_v<T, double>, double, float>;

/// c = alpha a b + beta c with a [m, k], b [k, n] of any strides, c [m, n] with contiguous rows `c_row` apart; k > 0.
template <class T>
struct Product {
  int64_t m, n, k;
  Sum<T> alpha;
  Strided<T> a, b;
  Sum<T> beta;
  Sum<T>* c;
  int64_t c_row;
};
/// Bytes of memory that matmul() needs for copies of its operands' parts.
inline constexpr int64_t matmul_room = 1280 * 1024;

struct RowMoments {
  float mean, variance;
};
/// Sums of what is left of a center, and of its squares.
struct CenteredMoments {
  double sum, squares;
};
/// See batch_norm_gradient.
struct BatchNormChannel {
  float center, gain, share, slope;
};
/// Of e^(x - largest), and of x - largest.
struct CrossEntropySums {
  double exps, below;
};
struct CrossEntropyRow {
  double largest, log_sum;  ///< of the logits, and the logarithm of CrossEntropySums::exps
  double factor, target;
};
/// Largest inner extent of a small product.
inline constexpr int64_t small_matmul_depth = 256;

/// Adam's coefficients: rest = 1 - beta; direction = m scale1 / (sqrt(v) scale2 + eps).
struct AdamFactors {
  float beta1, rest1, beta2, rest2, scale1, scale2, eps;
};

/// Those of RMSProp and AdaGrad, see SquaresSpec.
struct SquaresFactors {
  float keep, add, eps, factor;
};

/// w = along direction + keep w; keep is not 0.
struct StepFactors {
  float along, keep;
};

/// What will be read soon: a loop that is busy computing asks for it meanwhile.
struct Ahead {
  static constexpr int most = 8;
  const float* arrays[most];
  int count = 0;
};

/// Rows of a 3x3 kernel's positions: see mix_nines.
inline constexpr int64_t nine = 9;
/// Elements beyond the rows that mix_nines may write.
inline constexpr int64_t nines_room = 16;

/// What each channel of an image has for its gradient through group norm, [n] each.
struct GroupNormColumns {
  const float *weight, *center, *scale, *share, *slope;
};

/// Elementwise loops. An element's result depends on nothing but its operands.
template <class T>
struct Elementwise {
  using Unary = void (*)(const T* x, T* out, int64_t n, T param);
  using Binary = void (*)(const T* a, const T* b, T* out, int64_t n, T param);
  using Compare = void (*)(const T* a, const T* b, bool* out, int64_t n);
  Unary unary[unary_count];                 ///< null: none for T
  Binary binary[binary_count][form_count];  ///< null: none for T, or a comparison
  Compare compare[binary_count][form_count];
  void (*clamp)(const T* x, T low, T high, T* out, int64_t n);
  void (*clamp_grad)(const T* gy, const T* x, T low, T high, T* gx, int64_t n);
  void (*where)(const bool* condition, const T* a, const T* b, T* out, int64_t n);
  void (*axpby)(T alpha, const T* x, T beta, T* y, int64_t n);  ///< beta is not 0
  void (*scale)(T alpha, const T* x, T* y, int64_t n);
  void (*fill)(T value, T* out, int64_t n);
};

/// Products of matrices and vectors.
template <class T>
struct Products {
  /// c = alpha a b + beta c, a [m, k], b [k, n] of any strides, c [m, n] with contiguous rows; k <= small_matmul_depth.
  void (*small_matmul)(int64_t m, int64_t n, int64_t k, T alpha, const Strided<T>& a, const Strided<T>& b, T beta, T* c,
                       int64_t c_row_stride);
  /// Of any extents, on the calling thread. An element is the same sum in the same order wherever it lies in c.
  void (*matmul)(const Product<T>& product, T* room);
  /// y += x b for a row x [k] and b [k, n] with contiguous rows b_row apart; [squared]: of b's squares.
  void (*add_row_times_matrix[2])(const T* x, const T* b, int64_t b_row, int64_t k, int64_t n, T* y);
  /// y = alpha x b^T + beta y for b [n, k].
  void (*row_times_transposed[2])(const T* x, const T* b, int64_t b_row, int64_t k, int64_t n, T alpha, T beta, T* y);
  /// z = x y^T for x [m] and y [n], z with contiguous rows. Written past the caches where that is asked for and z is
  /// aligned: twice as fast where nobody reads it soon.
  void (*outer_product)(const T* x, int64_t x_stride, const T* y, int64_t m, int64_t n, T* z, int64_t z_row,
                        bool past_caches);
};

/// What there is for float and for double.
template <class T>
struct Typed : Elementwise<T>, Products<T> {};

/// All pointers of a call may be equal, but must not overlap otherwise.
struct Kernels : Typed<float> {
  Typed<double> doubles;
  void (*from_bytes)(const uint8_t* x, float* out, int64_t n);
  void (*widen)(const bfloat16* x, float* out, int64_t n);
  void (*narrow)(const float* x, bfloat16* out, int64_t n);  ///< to nearest even; keeps NaN

  void (*matmul_bfloat16)(const Product<bfloat16>& product, float* room);

  // Optimizers. No two arrays overlap.

  /// m = beta1 m + rest1 g, v = beta2 v + rest2 g^2, and the direction.
  void (*adam)(const AdamFactors& factors, const float* g, float* m, float* v, float* direction, int64_t n);
  /// The same and the step along it, as axpby takes it; and the same for g = factor a b, which asks for as many
  /// elements of `ahead`.
  void (*adam_step)(const AdamFactors& factors, const StepFactors& step, const float* g, float* m, float* v, float* w,
                    int64_t n);
  void (*adam_step_of_product)(const AdamFactors& factors, const StepFactors& step, float factor, const float* a,
                               const float* b, float* m, float* v, float* w, int64_t n, const Ahead& ahead);
  /// v = momentum v + g and the step along it; momentum is not 0.
  void (*momentum_step)(float momentum, const StepFactors& step, const float* g, float* v, float* w, int64_t n);

  /// The same with v = beta2 v + rest2 h^2, or |h| where [magnitudes]; the direction divides by sqrt(v) scale2 + eps
  /// where [root], by v scale2^2 + eps otherwise.
  void (*adam_of_curvature[2][2])(const AdamFactors& factors, const float* g, const float* h, float* m, float* v,
                                  float* direction, int64_t n);
  /// The same and the step along it.
  void (*curvature_step[2][2])(const AdamFactors& factors, const StepFactors& step, const float* g, const float* h,
                               float* m, float* v, float* w, int64_t n);

  /// s = keep s + add g^2, direction = factor g / (sqrt(s) + eps).
  void (*divide_by_root)(const SquaresFactors& factors, const float* g, float* s, float* direction, int64_t n);

  /// For rows of nine: u = P x, from P's transpose, and, where previous is not null, totals[9 i + j] += x_i previous_j.
  /// u has nines_room elements more and is no input. Asks for as many elements of `ahead` as it reads of x.
  void (*mix_nines)(const float* x, const float* previous, const float* transposed_p, int64_t rows, float* u,
                    double* totals, const Ahead& ahead);
  /// For rows of one: u = p x, and the sum of x previous.
  double (*mix_ones)(const float* x, const float* previous, float p, float* u, int64_t n);

  // Reductions, by ReduceOp.
  double (*reduce_row[3])(const float* x, int64_t n);
  /// The same of many rows, each result rounded.
  void (*reduce_rows[3])(const float* x, int64_t rows, int64_t row_stride, int64_t n, float* out, int64_t out_stride);
  /// totals[j] over `rows` rows of n columns; at least one row.
  void (*reduce_columns[3])(const float* x, int64_t rows, int64_t row_stride, int64_t n, double* totals);
  /// out = y > 0 ? gy : 0 in rows of n without gaps, and totals[j] the sums of its columns.
  void (*mask_columns)(const float* gy, const float* y, int64_t rows, int64_t n, float* out, double* totals);
  void (*mask_columns_bfloat16)(const bfloat16* gy, const bfloat16* y, int64_t rows, int64_t n, bfloat16* out,
                                double* totals);

  // Dropout. keep[4 i + lane] = whether the upper 24 bits of that word of block key.offset + i reach the threshold.
  void (*draw_keep)(const RandomKey& key, int64_t blocks, uint32_t threshold, uint8_t* keep);
  void (*scale_kept)(const uint8_t* keep, float scale, const float* x, float* out, int64_t n);

  // Softmax and its gradient, rows of n without gaps.
  void (*softmax_rows)(const float* x, int64_t rows, int64_t n, float* y, bool logarithm);
  void (*softmax_rows_backward)(const float* gy, const float* y, int64_t rows, int64_t n, float* gx, bool logarithm);

  // Layer norm, a row of n at a time.
  RowMoments (*row_moments)(const float* x, int64_t n);
  void (*normalize_row)(const float* x, float mean, float rstd, const float* weight, const float* bias, float* y,
                        int64_t n);
  /// Adds the row's share to gweight and gbias.
  void (*layer_norm_row_backward)(const float* gy, const float* x, float mean, float rstd, const float* weight,
                                  float* gx, double* gweight, double* gbias, int64_t n);

  // Cross-entropy, a row of n logits at a time: sums, and the gradient factor (softmax(x) - target).
  CrossEntropySums (*cross_entropy_sums)(const float* x, double largest, int64_t n);
  void (*cross_entropy_gradient)(const float* x, const CrossEntropyRow& row, float* gx, int64_t n);

  // Batch and group norm: rows of n channels each, without gaps. The first two add to the totals.
  void (*centered_moments)(const float* x, const float* center, int64_t rows, int64_t n, double* sums, double* squares);
  void (*centered_products)(const float* gy, const float* x, const float* center, int64_t rows, int64_t n,
                            double* totals);
  /// y = (x - center) scale + shift.
  void (*normalize_columns)(const float* x, const float* center, const float* scale, const float* shift, int64_t rows,
                            int64_t n, float* y);
  /// gx = gain (gy - share - (x - center) slope).
  void (*batch_norm_gradient)(const float* gy, const float* x, const float* center, const float* gain,
                              const float* share, const float* slope, int64_t rows, int64_t n, float* gx);
  /// The same four for a row of n pixels of one channel.
  CenteredMoments (*centered_row_moments)(const float* x, float center, int64_t n);
  double (*centered_row_product)(const float* gy, const float* x, float center, int64_t n);
  void (*scale_row)(const float* x, float center, float scale, float shift, int64_t n, float* y);
  void (*batch_norm_gradient_row)(const float* gy, const float* x, const BatchNormChannel& channel, int64_t n,
                                  float* gx);
  /// Group norm's, of the rows of one image: gx = scale (weight gy - share - (x - center) slope).
  void (*group_norm_gradient)(const float* gy, const float* x, const GroupNormColumns& columns, int64_t rows, int64_t n,
                              float* gx);

  /// Where x is above the largest so far, both become those at `position`.
  void (*raise_maximum)(const float* x, int32_t position, float* largest, int32_t* index, int64_t n);
};

/// The best build for this processor.
const Kernels& kernels();
/// A given build, to compare them all; it must not be above cpu::isa().
const Kernels& kernels(Isa isa);
/// The best build's part for T.
template <class T>
const Typed<T>& typed_kernels() {
  if constexpr (std::is_same_v<T, double>)
    return kernels().doubles;
  else
    return kernels();
}

}  // namespace gradus::cpu::vector
