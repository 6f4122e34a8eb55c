// Rows of softmax and layer norm, columns of batch and group norm, and the inner loop of max pooling.
#include "core/cpu/vector/kernels.h"
#include "core/cpu/vector/math.h"

namespace gradus::cpu::vector::GRADUS_ISA {

namespace {

// ---- Softmax -------------------------------------------------------------------------------------------------------

void softmax_row(const float* x, float largest, float* y, int64_t n, bool logarithm) {
  float sum = 0;
  if (logarithm) {
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) sum += exp(x[i] - largest);
    const float log_sum = log(sum);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - largest) - log_sum;
  } else {
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) sum += y[i] = exp(x[i] - largest);
    const float scale = 1.0f / sum;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] *= scale;
  }
}

void softmax_row_backward(const float* gy, const float* y, float* gx, int64_t n, bool logarithm) {
  float sum = 0;
  if (logarithm) {
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) sum += gy[i];
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) gx[i] = multiply_add(exp(y[i]), -sum, gy[i]);
  } else {
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) sum += gy[i] * y[i];
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) gx[i] = y[i] * (gy[i] - sum);
  }
}

// ---- Cross-entropy, in float64 -------------------------------------------------------------------------------------

CrossEntropySums cross_entropy_sums(const float* x, double largest, int64_t n) {
  double exps = 0, below = 0;
#pragma omp simd reduction(+ : exps, below)
  for (int64_t i = 0; i < n; ++i) {
    const double d = static_cast<double>(x[i]) - largest;
    exps += exp_of_negative(d);
    below += d;
  }
  return {exps, below};
}

void cross_entropy_gradient(const float* x, const CrossEntropyRow& row, float* gx, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const double p = exp_of_negative((static_cast<double>(x[i]) - row.largest) - row.log_sum);
    gx[i] = static_cast<float>(row.factor * (p - row.target));
  }
}

// ---- Layer norm ----------------------------------------------------------------------------------------------------

RowMoments row_moments(const float* x, int64_t n) {
  const auto count = static_cast<float>(n);
  float sum = 0, squares = 0, rest = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += x[i];
  const float center = sum / count;
#pragma omp simd reduction(+ : squares, rest)
  for (int64_t i = 0; i < n; ++i) {
    const float d = x[i] - center;
    rest += d;  // what rounding left in the mean
    squares += d * d;
  }
  const float correction = rest / count;
  return {center + correction, squares / count - correction * correction};
}

void normalize_row(const float* x, float mean, float rstd, const float* weight, const float* bias, float* y,
                   int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = multiply_add((x[i] - mean) * rstd, weight[i], bias[i]);
}

void layer_norm_row_backward(const float* gy, const float* x, float mean, float rstd, const float* weight, float* gx,
                             double* gweight, double* gbias, int64_t n) {
  float sum = 0, product = 0;
#pragma omp simd reduction(+ : sum, product)
  for (int64_t i = 0; i < n; ++i) {
    const float g = gy[i] * weight[i];
    sum += g;
    product += g * ((x[i] - mean) * rstd);
  }
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    gbias[i] += static_cast<double>(gy[i]);
    gweight[i] += static_cast<double>(gy[i] * ((x[i] - mean) * rstd));
  }
  const float share = sum / static_cast<float>(n), slope = product / static_cast<float>(n);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    // The product rounds as it does in the sum, so that a row of one element gets exactly zero.
    gx[i] = rstd * multiply_add((x[i] - mean) * rstd, -slope, gy[i] * weight[i] - share);
  }
}

// ---- Batch and group norm: rows of channels ------------------------------------------------------------------------

/// totals[j] += the sum over rows of term(element): float32 over a few rows, then float64.
template <class Term>
void sum_columns(int64_t rows, int64_t n, double* totals, Term term) {
  constexpr int64_t stretch = 32, tile = 64;
  for (int64_t column = 0; column < n; column += tile) {
    const int64_t columns = n - column < tile ? n - column : tile;
    for (int64_t row = 0; row < rows; row += stretch) {
      const int64_t end = rows - row < stretch ? rows : row + stretch;
      float sums[tile] = {};
      for (int64_t r = row; r < end; ++r) {
        const int64_t at = r * n + column;
#pragma omp simd
        for (int64_t j = 0; j < columns; ++j) sums[j] += term(at + j, column + j);
      }
      for (int64_t j = 0; j < columns; ++j) totals[column + j] += static_cast<double>(sums[j]);
    }
  }
}

void centered_squares(const float* x, const float* center, int64_t rows, int64_t n, double* totals) {
  sum_columns(rows, n, totals, [=](int64_t i, int64_t j) {
    const float d = x[i] - center[j];
    return d * d;
  });
}

void centered_products(const float* gy, const float* x, const float* center, int64_t rows, int64_t n, double* totals) {
  sum_columns(rows, n, totals, [=](int64_t i, int64_t j) { return gy[i] * (x[i] - center[j]); });
}

void normalize_columns(const float* x, const float* center, const float* scale, const float* shift, int64_t rows,
                       int64_t n, float* y) {
  for (int64_t r = 0; r < rows; ++r) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) y[r * n + j] = multiply_add(x[r * n + j] - center[j], scale[j], shift[j]);
  }
}

void batch_norm_gradient(const float* gy, const float* x, const float* center, const float* gain, const float* share,
                         const float* slope, int64_t rows, int64_t n, float* gx) {
  for (int64_t r = 0; r < rows; ++r) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j)
      gx[r * n + j] = gain[j] * multiply_add(x[r * n + j] - center[j], -slope[j], gy[r * n + j] - share[j]);
  }
}

void group_norm_gradient(const float* gy, const float* x, const GroupNormColumns& of, int64_t rows, int64_t n,
                         float* gx) {
  const float *weight = of.weight, *center = of.center, *scale = of.scale, *share = of.share, *slope = of.slope;
  for (int64_t r = 0; r < rows; ++r) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) {
      const float g = gy[r * n + j] * weight[j] - share[j];
      gx[r * n + j] = scale[j] * multiply_add(x[r * n + j] - center[j], -slope[j], g);
    }
  }
}

// ---- Max pooling ---------------------------------------------------------------------------------------------------

void raise_maximum(const float* x, int32_t position, float* largest, int32_t* index, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const float value = x[i], old = largest[i];
    const bool wins = (value > old) | ((value != value) & (old == old));  // the first NaN wins
    largest[i] = wins ? value : old;
    index[i] = wins ? position : index[i];
  }
}

}  // namespace

void add_norm(Kernels& table) {
  table.softmax_row = softmax_row;
  table.cross_entropy_sums = cross_entropy_sums;
  table.cross_entropy_gradient = cross_entropy_gradient;
  table.softmax_row_backward = softmax_row_backward;
  table.row_moments = row_moments;
  table.normalize_row = normalize_row;
  table.layer_norm_row_backward = layer_norm_row_backward;
  table.centered_squares = centered_squares;
  table.centered_products = centered_products;
  table.normalize_columns = normalize_columns;
  table.batch_norm_gradient = batch_norm_gradient;
  table.group_norm_gradient = group_norm_gradient;
  table.raise_maximum = raise_maximum;
}

}  // namespace gradus::cpu::vector::GRADUS_ISA
