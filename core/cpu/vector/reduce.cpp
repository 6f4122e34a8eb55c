// Reductions of flat arrays and of the columns of matrices. Sums run in float32 over short stretches, whose totals add
// up in float64.
#include "core/cpu/vector/kernels.h"
#include "core/cpu/vector/pack.h"

namespace gradus::cpu::vector::GRADUS_ISA {

namespace {

constexpr int64_t stretch_rows = 32;  // float32 additions in a row, per lane

// An operation is exact where its result does not depend on the order of the operands.

struct Sum {
  static constexpr bool exact = false;
  static constexpr float neutral = 0;
  static Pack of(Pack total, Pack x) { return total + x; }
  static float of(float total, float x) { return total + x; }
  static double of(double total, double x) { return total + x; }
};
// NaN wins, and stays.
struct Max {
  static constexpr bool exact = true;
  static constexpr float neutral = -__builtin_inff();
  static Pack of(Pack total, Pack x) { return ((x != x) | (x > total)) ? x : total; }
  static float of(float total, float x) { return (x != x || x > total) ? x : total; }
  static double of(double total, double x) { return (x != x || x > total) ? x : total; }
};
struct Min {
  static constexpr bool exact = true;
  static constexpr float neutral = __builtin_inff();
  static Pack of(Pack total, Pack x) { return ((x != x) | (x < total)) ? x : total; }
  static float of(float total, float x) { return (x != x || x < total) ? x : total; }
  static double of(double total, double x) { return (x != x || x < total) ? x : total; }
};

template <class Op>
double reduce_row(const float* x, int64_t n) {
  constexpr int lanes = 4;  // independent accumulators, to hide the latency of addition
  constexpr int64_t stretch = stretch_rows * lanes * width;
  double total = Op::neutral;
  int64_t i = 0;
  while (n - i >= lanes * width) {
    const int64_t end = n - i < stretch ? n : i + stretch;
    Pack sums[lanes];
    for (Pack& sum : sums) sum = spread(Op::neutral);
    for (; i + lanes * width <= end; i += lanes * width)
      for (int j = 0; j < lanes; ++j) sums[j] = Op::of(sums[j], load(x + i + j * width));
    if constexpr (Op::exact) {
      sums[0] = Op::of(Op::of(sums[0], sums[1]), Op::of(sums[2], sums[3]));
      for (int j = 0; j < width; ++j) total = Op::of(total, static_cast<double>(sums[0][j]));
    } else {
      for (const Pack& sum : sums)
        for (int j = 0; j < width; ++j) total = Op::of(total, static_cast<double>(sum[j]));
    }
  }
  for (; i < n; ++i) total = Op::of(total, static_cast<double>(x[i]));
  return total;
}

template <class Op>
void reduce_rows(const float* x, int64_t rows, int64_t row_stride, int64_t n, float* out, int64_t out_stride) {
  int64_t r = 0;
  if constexpr (Op::exact) {  // a pack of short rows at once: one number at a time, each would be a jump
    for (; n < 4 * width && r + width <= rows; r += width) {
      Pack results = spread(Op::neutral);
      for (int64_t i = 0; i < n; ++i) {
        Pack column;
        for (int j = 0; j < width; ++j) column[j] = x[(r + j) * row_stride + i];
        results = Op::of(results, column);
      }
      for (int j = 0; j < width; ++j) out[(r + j) * out_stride] = results[j];
    }
  }
  for (; r < rows; ++r) out[r * out_stride] = static_cast<float>(reduce_row<Op>(x + r * row_stride, n));
}

template <class Op>
void reduce_columns(const float* x, int64_t rows, int64_t row_stride, int64_t n, double* totals) {
  constexpr int group = 4;  // packs of columns side by side
  for (int64_t column = 0; column < n; column += group * width) {
    const int64_t columns = n - column < group * width ? n - column : group * width;
    for (int64_t row = 0; row < rows; row += stretch_rows) {
      const int64_t end = rows - row < stretch_rows ? rows : row + stretch_rows;
      float sums[group * width];
      if (columns == group * width) {
        Pack packs[group];
        for (Pack& pack : packs) pack = spread(Op::neutral);
        for (int64_t r = row; r < end; ++r)
          for (int j = 0; j < group; ++j) packs[j] = Op::of(packs[j], load(x + r * row_stride + column + j * width));
        for (int j = 0; j < group; ++j) store(sums + j * width, packs[j]);
      } else {
        for (int64_t j = 0; j < columns; ++j) sums[j] = Op::neutral;
        for (int64_t r = row; r < end; ++r)
          for (int64_t j = 0; j < columns; ++j) sums[j] = Op::of(sums[j], x[r * row_stride + column + j]);
      }
      for (int64_t j = 0; j < columns; ++j) {
        double& total = totals[column + j];
        total = Op::of(row == 0 ? static_cast<double>(Op::neutral) : total, static_cast<double>(sums[j]));
      }
    }
  }
}

/// Rows are read from end to end, as memory likes it; the float sums of a stretch of rows stay in the nearest cache.
template <class T>
void mask_columns(const T* gy, const T* y, int64_t rows, int64_t n, T* out, double* totals) {
  constexpr int64_t most = 64;  // packs side by side
  for (int64_t first = 0; first < n; first += most * width) {
    const int64_t columns = n - first < most * width ? n - first : most * width;
    const int64_t whole = columns / width, rest = columns % width;
    for (int64_t j = 0; j < columns; ++j) totals[first + j] = 0;
    for (int64_t row = 0; row < rows; row += stretch_rows) {
      const int64_t end = rows - row < stretch_rows ? rows : row + stretch_rows;
      Pack sums[most + 1] = {};
      for (int64_t r = row; r < end; ++r) {
        const int64_t at = r * n + first;
        for (int64_t j = 0; j < whole; ++j) {
          const Pack kept = load(y + at + j * width) > 0 ? load(gy + at + j * width) : Pack{};
          store(out + at + j * width, kept);
          sums[j] += kept;
        }
        if (rest > 0) {
          const int64_t last = at + whole * width;
          const Pack kept = load_first(y + last, rest) > 0 ? load_first(gy + last, rest) : Pack{};
          store_first(out + last, kept, rest);
          sums[whole] += kept;
        }
      }
      for (int64_t j = 0; j < columns; ++j) totals[first + j] += static_cast<double>(sums[j / width][j % width]);
    }
  }
}

}  // namespace

void add_reduce(Kernels& table) {
  const auto set = [&]<class Op>(ReduceOp op, Op) {
    table.reduce_row[static_cast<int>(op)] = reduce_row<Op>;
    table.reduce_rows[static_cast<int>(op)] = reduce_rows<Op>;
    table.reduce_columns[static_cast<int>(op)] = reduce_columns<Op>;
  };
  set(ReduceOp::sum, Sum());
  set(ReduceOp::max, Max());
  set(ReduceOp::min, Min());
  table.mask_columns = mask_columns<float>;
  table.mask_columns_bfloat16 = mask_columns<bfloat16>;
}

}  // namespace gradus::cpu::vector::GRADUS_ISA
