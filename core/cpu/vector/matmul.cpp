// Products of small matrices: one packed copy of the right operand on the stack, then blocks of the result in
// registers.
#include "core/cpu/vector/kernels.h"
#include "core/cpu/vector/pack.h"

namespace gradus::cpu::vector::GRADUS_ISA {

namespace {

constexpr int block = 6;                         // rows of the result in registers
constexpr int most_packs = width == 16 ? 3 : 2;  // and columns, in packs

using Quad = float __attribute__((vector_size(4 * sizeof(float))));

/// Four columns of k consecutive elements each, as k rows of four.
void transpose_columns(const float* from, int64_t column_stride, int64_t k, float* to, int64_t row_stride) {
  int64_t p = 0;
  for (; p + 4 <= k; p += 4) {
    Quad c[4];
    for (int j = 0; j < 4; ++j) __builtin_memcpy(&c[j], from + j * column_stride + p, sizeof c[j]);
    const Quad low01 = __builtin_shufflevector(c[0], c[1], 0, 4, 1, 5);
    const Quad low23 = __builtin_shufflevector(c[2], c[3], 0, 4, 1, 5);
    const Quad high01 = __builtin_shufflevector(c[0], c[1], 2, 6, 3, 7);
    const Quad high23 = __builtin_shufflevector(c[2], c[3], 2, 6, 3, 7);
    const Quad rows[4] = {
        __builtin_shufflevector(low01, low23, 0, 1, 4, 5), __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
        __builtin_shufflevector(high01, high23, 0, 1, 4, 5), __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
    for (int i = 0; i < 4; ++i) __builtin_memcpy(to + (p + i) * row_stride, &rows[i], sizeof rows[i]);
  }
  for (; p < k; ++p)
    for (int j = 0; j < 4; ++j) to[p * row_stride + j] = from[j * column_stride + p];
}

/// Columns [column, column + columns) of b as rows of Packs packs, the rest zero.
template <int Packs>
void pack_panel(const StridedMatrix& b, int64_t k, int64_t column, int64_t columns, float* to) {
  constexpr int64_t panel = Packs * width;
  const float* from = b.data + column * b.column_stride;
  if (b.column_stride == 1) {
    for (int64_t p = 0; p < k; ++p, from += b.row_stride, to += panel)
      for (int64_t j = 0; j < panel; j += width)
        store(to + j, columns - j >= width ? load(from + j) : load_first(from + j, columns - j));
    return;
  }
  if (columns < panel)
    for (int64_t p = 0; p < k; ++p) store(to + (p + 1) * panel - width, Pack{});  // zeros beyond the last column
  int64_t packed = 0;
  if (b.row_stride == 1)
    for (; packed + 4 <= columns; packed += 4)
      transpose_columns(from + packed * b.column_stride, b.column_stride, k, to + packed, panel);
  for (int64_t j = packed; j < columns; ++j)
    for (int64_t p = 0; p < k; ++p) to[p * panel + j] = from[j * b.column_stride + p * b.row_stride];
}

/// `Rows` rows of the result against one panel.
template <int Rows, int Packs>
void multiply_block(const StridedMatrix& a, const float* packed, int64_t k, float alpha, float beta, float* c,
                    int64_t c_row, int64_t columns) {
  Pack sums[Rows][Packs] = {};
  const float* left[Rows];
  for (int i = 0; i < Rows; ++i) left[i] = a.data + i * a.row_stride;
  for (int64_t p = 0, at = 0; p < k; ++p, at += a.column_stride) {
    Pack right[Packs];
    for (int j = 0; j < Packs; ++j) right[j] = load(packed + (p * Packs + j) * width);
    for (int i = 0; i < Rows; ++i) {
      const Pack factor = spread(left[i][at]);
      for (int j = 0; j < Packs; ++j) sums[i][j] = multiply_add(factor, right[j], sums[i][j]);
    }
  }
  // Unrolled, so that no index of `sums` is a variable and all of it stays in registers.
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < Packs; ++j) {
      float* to = c + i * c_row + j * width;
      const int64_t count = columns - j * width;
      Pack result = alpha * sums[i][j];
      if (count >= width) {
        if (beta != 0) result = multiply_add(spread(beta), load(to), result);
        store(to, result);
      } else {
        if (beta != 0) result = multiply_add(spread(beta), load_first(to, count), result);
        store_first(to, result, count);
      }
    }
  }
}

/// All rows of the result against one panel; the last block has as many rows as are left.
template <int Packs>
void multiply_panel(int64_t m, StridedMatrix a, const float* packed, int64_t k, float alpha, float beta, float* c,
                    int64_t c_row, int64_t columns) {
  using Multiply = decltype(&multiply_block<1, Packs>);
  static constexpr Multiply of_rows[block + 1] = {nullptr,
                                                  multiply_block<1, Packs>,
                                                  multiply_block<2, Packs>,
                                                  multiply_block<3, Packs>,
                                                  multiply_block<4, Packs>,
                                                  multiply_block<5, Packs>,
                                                  multiply_block<6, Packs>};
  for (int64_t left = m; left > 0; left -= block) {
    const int64_t rows = left < block ? left : block;
    of_rows[rows](a, packed, k, alpha, beta, c, c_row, columns);
    a.data += rows * a.row_stride;
    c += rows * c_row;
  }
}

void small_matmul(int64_t m, int64_t n, int64_t k, float alpha, const StridedMatrix& a, const StridedMatrix& b,
                  float beta, float* c, int64_t c_row) {
  alignas(64) float packed[small_matmul_depth * most_packs * width];
  for (int64_t column = 0; column < n; column += most_packs * width) {
    const int64_t columns = n - column < most_packs * width ? n - column : most_packs * width;
    if (columns > 2 * width) {
      pack_panel<most_packs>(b, k, column, columns, packed);
      multiply_panel<most_packs>(m, a, packed, k, alpha, beta, c + column, c_row, columns);
    } else if (columns > width) {
      pack_panel<2>(b, k, column, columns, packed);
      multiply_panel<2>(m, a, packed, k, alpha, beta, c + column, c_row, columns);
    } else {
      pack_panel<1>(b, k, column, columns, packed);
      multiply_panel<1>(m, a, packed, k, alpha, beta, c + column, c_row, columns);
    }
  }
}

}  // namespace

void add_matmul(Kernels& table) { table.small_matmul = small_matmul; }

}  // namespace gradus::cpu::vector::GRADUS_ISA
