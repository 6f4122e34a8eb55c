// Rows of softmax and layer norm, columns of batch and group norm, and the inner loop of max pooling.
#include "core/cpu/vector/kernels.h"
#include "core/cpu/vector/math.h"
#include "core/cpu/vector/pack.h"

namespace gradus::cpu::vector::GRADUS_ISA {

namespace {

// ---- Softmax -------------------------------------------------------------------------------------------------------

/// The largest of a row; what it makes of a NaN does not matter, as the sum of the exponentials will be one.
float largest_of(const float* x, int64_t n) {
  float largest = x[0];
  int64_t i = 0;
  if (n >= width) {
    Pack packs[4] = {load(x), load(x), load(x), load(x)};
    const auto see = [](Pack& best, Pack p) { best = p > best ? p : best; };
    for (; i + 4 * width <= n; i += 4 * width)
      for (int j = 0; j < 4; ++j) see(packs[j], load(x + i + j * width));
    for (; i + width <= n; i += width) see(packs[0], load(x + i));
    see(packs[1], load(x + n - width));  // the rest, and some once more
    see(packs[2], packs[3]);
    see(packs[0], packs[1]);
    see(packs[0], packs[2]);
    float lanes[width];
    store(lanes, packs[0]);
    for (int step = width / 2; step > 0; step /= 2)
      for (int j = 0; j < step; ++j) lanes[j] = lanes[j + step] > lanes[j] ? lanes[j + step] : lanes[j];
    return lanes[0];
  }
  for (i = 1; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

/// Sums run in float32 over so many elements, at most 128 additions in a row per lane, and then in float64.
constexpr int64_t stretch = 128 * width;

template <class Numbers>
float sum_of_numbers(int64_t begin, int64_t end, Numbers numbers) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = begin; i < end; ++i) sum += numbers(i);
  return sum;
}

/// The sum of packs(i) and, at the end of a row and in short ones, of numbers(i).
template <class Packs, class Numbers>
double sum_of_row(int64_t n, Packs packs, Numbers numbers) {
  if (n < 16 * width) return static_cast<double>(sum_of_numbers(0, n, numbers));
  double total = 0;
  int64_t i = 0;
  while (n - i >= 4 * width) {
    const int64_t end = n - i < stretch ? n : i + stretch;
    Pack sums[4] = {};
    for (; i + 4 * width <= end; i += 4 * width)
      for (int j = 0; j < 4; ++j) sums[j] += packs(i + j * width);
    const Pack sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    for (int j = 0; j < width; ++j) total += static_cast<double>(sum[j]);
  }
  return total + static_cast<double>(sum_of_numbers(i, n, numbers));
}

/// Of e^(x - largest) for the elements [begin, end) of a row, which go to y unless that is null.
float sum_of_exponentials(const float* x, float largest, int64_t begin, int64_t end, float* y) {
  float sum = 0;
  if (y) {
#pragma omp simd reduction(+ : sum)
    for (int64_t i = begin; i < end; ++i) sum += y[i] = exp_of_negative(x[i] - largest);
  } else {
#pragma omp simd reduction(+ : sum)
    for (int64_t i = begin; i < end; ++i) sum += exp_of_negative(x[i] - largest);
  }
  return sum;
}
float sum_of_exponentials(const float* x, float largest, int64_t n, float* y) {
  if (n <= stretch) return sum_of_exponentials(x, largest, 0, n, y);
  double total = 0;
  for (int64_t i = 0; i < n; i += stretch)
    total += static_cast<double>(sum_of_exponentials(x, largest, i, n - i < stretch ? n : i + stretch, y));
  return static_cast<float>(total);
}

// Several rows share each step, so that the logarithms, or the divisions, of their sums are one loop, and no row waits
// for its own.
void softmax_rows(const float* x, int64_t rows, int64_t n, float* y, bool logarithm) {
  constexpr int64_t most = 16, elements = 4096;  // what the L1 cache holds
  const int64_t batch = n * most <= elements ? most : n <= elements ? elements / n : 1;
  for (; rows > 0; rows -= batch, x += batch * n, y += batch * n) {
    const int64_t count = rows < batch ? rows : batch;
    float largest[most] = {}, sums[most] = {};
    for (int64_t r = 0; r < count; ++r) {
      const float *from = x + r * n, top = largest_of(from, n);
      sums[r] = sum_of_exponentials(from, top, n, logarithm ? nullptr : y + r * n);
      largest[r] = top;
    }
    if (logarithm) {
#pragma omp simd
      for (int64_t r = 0; r < most; ++r) sums[r] = log(sums[r]);
    } else {
#pragma omp simd
      for (int64_t r = 0; r < most; ++r) sums[r] = 1.0f / sums[r];
    }
    for (int64_t r = 0; r < count; ++r) {
      const float *from = x + r * n, top = largest[r], sum = sums[r];
      float* to = y + r * n;
      if (logarithm) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) to[i] = (from[i] - top) - sum;
      } else {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) to[i] *= sum;
      }
    }
  }
}

void softmax_rows_backward(const float* gy, const float* y, int64_t rows, int64_t n, float* gx, bool logarithm) {
  for (; rows > 0; --rows, gy += n, y += n, gx += n) {
    if (logarithm) {
      const float sum = sum_of_row(
          n, [=](int64_t i) { return load(gy + i); }, [=](int64_t i) { return gy[i]; });
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) gx[i] = multiply_add(exp(y[i]), -sum, gy[i]);
    } else {
      const auto sum = static_cast<float>(sum_of_row(
          n, [=](int64_t i) { return load(gy + i) * load(y + i); }, [=](int64_t i) { return gy[i] * y[i]; }));
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) gx[i] = y[i] * (gy[i] - sum);
    }
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

constexpr int64_t tile_columns = 64;

/// body(row, end, column, columns) for tiles of a few rows: sums run in float32 over one, and then in float64.
template <class Body>
void for_each_tile(int64_t rows, int64_t n, Body body) {
  constexpr int64_t stretch = 32;
  for (int64_t column = 0; column < n; column += tile_columns) {
    const int64_t columns = n - column < tile_columns ? n - column : tile_columns;
    for (int64_t row = 0; row < rows; row += stretch)
      body(row, rows - row < stretch ? rows : row + stretch, column, columns);
  }
}

void centered_moments(const float* x, const float* center, int64_t rows, int64_t n, double* sums, double* squares) {
  for_each_tile(rows, n, [=](int64_t row, int64_t end, int64_t column, int64_t columns) {
    float sum[tile_columns] = {}, square[tile_columns] = {};
    for (int64_t r = row; r < end; ++r) {
#pragma omp simd
      for (int64_t j = 0; j < columns; ++j) {
        const float d = x[r * n + column + j] - center[column + j];
        sum[j] += d;
        square[j] += d * d;
      }
    }
    for (int64_t j = 0; j < columns; ++j) {
      sums[column + j] += static_cast<double>(sum[j]);
      squares[column + j] += static_cast<double>(square[j]);
    }
  });
}

void centered_products(const float* gy, const float* x, const float* center, int64_t rows, int64_t n, double* totals) {
  for_each_tile(rows, n, [=](int64_t row, int64_t end, int64_t column, int64_t columns) {
    float sums[tile_columns] = {};
    for (int64_t r = row; r < end; ++r) {
#pragma omp simd
      for (int64_t j = 0; j < columns; ++j) {
        const int64_t i = r * n + column + j;
        sums[j] += gy[i] * (x[i] - center[column + j]);
      }
    }
    for (int64_t j = 0; j < columns; ++j) totals[column + j] += static_cast<double>(sums[j]);
  });
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

// ---- Batch norm: a channel of an image ----------------------------------------------------------------------------

CenteredMoments centered_row_moments(const float* x, float center, int64_t n) {
  const auto apart = [=](int64_t i) { return load(x + i) - center; };
  return {sum_of_row(n, apart, [=](int64_t i) { return x[i] - center; }),
          sum_of_row(
              n, [=](int64_t i) { return apart(i) * apart(i); },
              [=](int64_t i) { return (x[i] - center) * (x[i] - center); })};
}

double centered_row_product(const float* gy, const float* x, float center, int64_t n) {
  return sum_of_row(
      n, [=](int64_t i) { return load(gy + i) * (load(x + i) - center); },
      [=](int64_t i) { return gy[i] * (x[i] - center); });
}

void scale_row(const float* x, float center, float scale, float shift, int64_t n, float* y) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = multiply_add(x[i] - center, scale, shift);
}

void batch_norm_gradient_row(const float* gy, const float* x, const BatchNormChannel& of, int64_t n, float* gx) {
  const float center = of.center, gain = of.gain, share = of.share, slope = of.slope;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) gx[i] = gain * multiply_add(x[i] - center, -slope, gy[i] - share);
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
  table.softmax_rows = softmax_rows;
  table.cross_entropy_sums = cross_entropy_sums;
  table.cross_entropy_gradient = cross_entropy_gradient;
  table.softmax_rows_backward = softmax_rows_backward;
  table.row_moments = row_moments;
  table.normalize_row = normalize_row;
  table.layer_norm_row_backward = layer_norm_row_backward;
  table.centered_moments = centered_moments;
  table.centered_products = centered_products;
  table.normalize_columns = normalize_columns;
  table.batch_norm_gradient = batch_norm_gradient;
  table.group_norm_gradient = group_norm_gradient;
  table.centered_row_moments = centered_row_moments;
  table.centered_row_product = centered_row_product;
  table.scale_row = scale_row;
  table.batch_norm_gradient_row = batch_norm_gradient_row;
  table.raise_maximum = raise_maximum;
}

}  // namespace gradus::cpu::vector::GRADUS_ISA
