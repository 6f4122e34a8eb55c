// Products of small matrices: one packed copy of the right operand on the stack, then blocks of the result in
// registers.
#include "core/cpu/vector/kernels.h"
#include "core/cpu/vector/pack.h"

namespace gradus::cpu::vector::GRADUS_ISA {

namespace {

constexpr int panel_packs = 2, panel = panel_packs * width;  // columns of the result in registers
constexpr int block = 6;                                     // rows of it

/// Columns [0, columns) of b as rows of `panel` floats, the rest zero.
void pack_panel(const StridedMatrix& b, int64_t k, int64_t column, int64_t columns, float* to) {
  const float* from = b.data + column * b.column_stride;
  for (int64_t p = 0; p < k; ++p, from += b.row_stride, to += panel) {
    if (b.column_stride == 1 && columns == panel) {
      for (int j = 0; j < panel_packs; ++j) store(to + j * width, load(from + j * width));
      continue;
    }
    for (int64_t j = 0; j < columns; ++j) to[j] = from[j * b.column_stride];
    for (int64_t j = columns; j < panel; ++j) to[j] = 0;
  }
}

/// `Rows` rows of the result against one panel.
template <int Rows>
void multiply_block(const float* a, int64_t a_row, int64_t a_column, const float* packed, int64_t k, float alpha,
                    float beta, float* c, int64_t c_row, int64_t columns) {
  Pack sums[Rows][panel_packs] = {};
  for (int64_t p = 0; p < k; ++p) {
    Pack right[panel_packs];
    for (int j = 0; j < panel_packs; ++j) right[j] = load(packed + p * panel + j * width);
    for (int i = 0; i < Rows; ++i) {
      const Pack left = spread(a[i * a_row + p * a_column]);
      for (int j = 0; j < panel_packs; ++j) sums[i][j] = multiply_add(left, right[j], sums[i][j]);
    }
  }
  for (int i = 0; i < Rows; ++i) {
    float* to = c + i * c_row;
    if (columns == panel) {
      for (int j = 0; j < panel_packs; ++j) {
        const Pack product = alpha * sums[i][j];
        store(to + j * width, beta == 0 ? product : multiply_add(spread(beta), load(to + j * width), product));
      }
    } else {
      float row[panel];
      for (int j = 0; j < panel_packs; ++j) store(row + j * width, alpha * sums[i][j]);
      for (int64_t j = 0; j < columns; ++j) to[j] = beta == 0 ? row[j] : row[j] + beta * to[j];
    }
  }
}

void small_matmul(int64_t m, int64_t n, int64_t k, float alpha, const StridedMatrix& a, const StridedMatrix& b,
                  float beta, float* c, int64_t c_row) {
  alignas(64) float packed[small_matmul_depth * panel];
  using Multiply = decltype(&multiply_block<1>);
  static constexpr Multiply rest[block] = {nullptr,           multiply_block<1>, multiply_block<2>,
                                           multiply_block<3>, multiply_block<4>, multiply_block<5>};
  for (int64_t column = 0; column < n; column += panel) {
    const int64_t columns = n - column < panel ? n - column : panel;
    pack_panel(b, k, column, columns, packed);
    int64_t i = 0;
    for (; i + block <= m; i += block)
      multiply_block<block>(a.data + i * a.row_stride, a.row_stride, a.column_stride, packed, k, alpha, beta,
                            c + i * c_row + column, c_row, columns);
    if (i < m)
      rest[m - i](a.data + i * a.row_stride, a.row_stride, a.column_stride, packed, k, alpha, beta,
                  c + i * c_row + column, c_row, columns);
  }
}

}  // namespace

void add_matmul(Kernels& table) { table.small_matmul = small_matmul; }

}  // namespace gradus::cpu::vector::GRADUS_ISA
