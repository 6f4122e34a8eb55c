// Products of matrices. The right operand is copied in panels of a few vectors' width, so that a loop over the inner
// extent reads it in order, and a block of the result stays in registers; a large product's left operand is copied too,
// in parts of both that stay in the caches. (Strides that are powers of two would put a matrix's columns into the same
// few lines of a cache.)
#include <type_traits>
#include <utility>

#include "core/cpu/vector/kernels.h"
#include "core/cpu/vector/pack.h"

namespace gradus::cpu::vector::GRADUS_ISA {

namespace {

// Rows and packs of a block of the result in registers, beside one row of the panel and one element of the left
// operand.
constexpr int block = width == 16 ? 8 : 4;
constexpr int most_packs = 3;
template <class S>
constexpr int most_panel = most_packs* width_of<S>;

// A part of a large product: `most_rows` of the left operand stay in the second cache, a panel in the first.
template <class S>
constexpr int64_t most_depth = 288 * sizeof(float) / sizeof(S);
constexpr int64_t most_rows = 144, most_columns = 960;
static_assert(most_rows % block == 0 && most_columns % most_panel<float> == 0);
static_assert(most_depth<float> * (most_rows + most_columns) * sizeof(float) <= matmul_room);

using Quad = float __attribute__((vector_size(4 * sizeof(float))));
using DoubleQuad = double __attribute__((vector_size(4 * sizeof(double))));

void load_quad(const float* from, Quad& to) { __builtin_memcpy(&to, from, sizeof to); }
void load_quad(const double* from, DoubleQuad& to) { __builtin_memcpy(&to, from, sizeof to); }
void load_quad(const bfloat16* from, Quad& to) {
  using Halves = uint16_t __attribute__((vector_size(4 * sizeof(uint16_t))));
  using Words = uint32_t __attribute__((vector_size(4 * sizeof(uint32_t))));
  Halves h;
  __builtin_memcpy(&h, from, sizeof h);
  to = (Quad)(__builtin_convertvector(h, Words) << 16);
}
template <class T>
using QuadOf = std::conditional_t<std::is_same_v<T, double>, DoubleQuad, Quad>;

template <class T>
T element(const T* from) {
  return *from;
}
float element(const bfloat16* from) {
  const uint32_t bits = static_cast<uint32_t>(from->bits) << 16;
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

/// Four columns of k consecutive elements each, as k rows of four.
template <class T>
void transpose_columns(const T* from, int64_t column_stride, int64_t k, Sum<T>* to, int64_t row_stride) {
  using Quad = QuadOf<T>;
  int64_t p = 0;
  for (; p + 4 <= k; p += 4) {
    Quad c[4];
    for (int j = 0; j < 4; ++j) load_quad(from + j * column_stride + p, c[j]);
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
    for (int j = 0; j < 4; ++j) to[p * row_stride + j] = element(from + j * column_stride + p);
}

/// The first columns <= Width columns of a matrix of k rows as rows of Width elements, the rest zero.
template <int Width, class T>
void pack_panel(const Strided<T>& matrix, int64_t k, int64_t columns, Sum<T>* to) {
  constexpr int width = width_of<Sum<T>>;
  if (matrix.column_stride == 1 && columns == Width) {
    const T* from = matrix.data;
    for (int64_t p = 0; p < k; ++p, from += matrix.row_stride, to += Width) {
      if constexpr (Width % width == 0) {
        for (int j = 0; j < Width; j += width) store(to + j, load(from + j));
      } else {
        for (int j = 0; j < Width; j += 4) {
          QuadOf<T> q;
          load_quad(from + j, q);
          __builtin_memcpy(to + j, &q, sizeof q);
        }
      }
    }
    return;
  }
  int64_t packed = 0;
  if (matrix.row_stride == 1)
    for (; packed + 4 <= columns; packed += 4)
      transpose_columns(matrix.data + packed * matrix.column_stride, matrix.column_stride, k, to + packed, Width);
  for (int64_t p = 0; p < k; ++p) {
    const T* from = matrix.data + p * matrix.row_stride;
    for (int64_t j = packed; j < Width; ++j)
      to[p * Width + j] = j < columns ? element(from + j * matrix.column_stride) : 0;
  }
}

/// What becomes of a block's sums: c = alpha sums + beta c. In memory, where it takes no register from the sums.
template <class S>
struct Scaling {
  S alpha, beta;
};

/// `Rows` rows of the result against one panel.
template <class S, int Rows, int Packs>
void multiply_block(const Strided<S>& a, const S* panel, int64_t k, const Scaling<S>& scaling, S* c, int64_t c_row,
                    int64_t columns) {
  using Pack = PackOf<S>;
  constexpr int width = width_of<S>;
  Pack sums[Rows][Packs] = {};
  const S* left[Rows];
  for (int i = 0; i < Rows; ++i) {
    left[i] = a.data + i * a.row_stride;
    __builtin_prefetch(c + i * c_row, 1);
    __builtin_prefetch(c + i * c_row + columns - 1, 1);
  }
  for (int64_t p = 0, at = 0; p < k; ++p, at += a.column_stride) {
    Pack right[Packs];
    for (int j = 0; j < Packs; ++j) right[j] = load(panel + (p * Packs + j) * width);
    for (int i = 0; i < Rows; ++i) {
      const Pack factor = spread(left[i][at]);
      for (int j = 0; j < Packs; ++j) sums[i][j] = multiply_add(factor, right[j], sums[i][j]);
    }
  }
  // Unrolled, so that no index of `sums` is a variable and all of it stays in registers.
  const S alpha = scaling.alpha, beta = scaling.beta;
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < Packs; ++j) {
      S* to = c + i * c_row + j * width;
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

template <class S>
using Multiply = void (*)(const Strided<S>& a, const S* panel, int64_t k, const Scaling<S>& scaling, S* c,
                          int64_t c_row, int64_t columns);
template <class S, int Packs, class Rows>
struct Blocks;
/// multiply_block() for every number of rows.
template <class S, int Packs, int... Rows>
struct Blocks<S, Packs, std::integer_sequence<int, Rows...>> {
  static constexpr Multiply<S> of_rows[] = {nullptr, multiply_block<S, Rows + 1, Packs>...};
};

/// m rows of the result against one panel; the left operand's blocks of rows lie `a_step` elements apart.
template <int Packs, class S>
void multiply_rows(int64_t m, Strided<S> a, int64_t a_step, const S* panel, int64_t k, const Scaling<S>& scaling, S* c,
                   int64_t c_row, int64_t columns) {
  for (; m > 0; m -= block) {
    const auto multiply = Blocks<S, Packs, std::make_integer_sequence<int, block>>::of_rows[m < block ? m : block];
    multiply(a, panel, k, scaling, c, c_row, columns);
    a.data += a_step;
    c += block * c_row;
  }
}

int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/// The matrix from that element on.
template <class T>
Strided<T> from(const Strided<T>& matrix, int64_t row, int64_t column) {
  const T* data = matrix.data + row * matrix.row_stride + column * matrix.column_stride;
  return {data, matrix.row_stride, matrix.column_stride};
}

/// Calls body(packs, first column, columns) for each panel, `packs` a constant. None has a single pack if another can
/// give it one: so few sums would wait for each other.
template <class S, class Body>
void for_each_panel(int64_t n, Body body) {
  constexpr int width = width_of<S>;
  for (int64_t column = 0; column < n;) {
    const int64_t left = n - column, packs = (left + width - 1) / width;
    if (packs == 3 || packs > 4) {
      body(std::integral_constant<int, 3>(), column, least(most_panel<S>, left));
      column += most_panel<S>;
    } else if (packs > 1) {
      body(std::integral_constant<int, 2>(), column, least(2 * width, left));
      column += 2 * width;
    } else {
      body(std::integral_constant<int, 1>(), column, left);
      column += width;
    }
  }
}

template <class S>
void small_matmul(int64_t m, int64_t n, int64_t k, S alpha, const Strided<S>& a, const Strided<S>& b, S beta, S* c,
                  int64_t c_row) {
  alignas(64) S panel[small_matmul_depth * most_panel<S>];
  const Scaling<S> scaling{alpha, beta};
  for_each_panel<S>(n, [&](auto packs, int64_t column, int64_t columns) {
    pack_panel<packs * width_of<S>>(from(b, 0, column), k, columns, panel);
    multiply_rows<packs>(m, a, block * a.row_stride, panel, k, scaling, c + column, c_row, columns);
  });
}

/// n in equal parts of at most `most` elements, multiples of `unit`.
int64_t share(int64_t n, int64_t most, int64_t unit) {
  const int64_t parts = (n + most - 1) / most;
  return (n + parts * unit - 1) / (parts * unit) * unit;
}

/// Rows to pack before going on to the next panel. A panel's part of a row is no whole number of cache lines, so rows
/// that lie together are read a few at a time.
template <class T>
int64_t rows_at_once(const Strided<T>& matrix, int64_t k) {
  return matrix.column_stride == 1 ? 16 : k;
}

/// All panels of b [k, n], one after the other.
template <class T>
void pack_right(const Strided<T>& b, int64_t k, int64_t n, Sum<T>* to) {
  const int64_t rows = rows_at_once(b, k);
  for (int64_t p = 0; p < k; p += rows)
    for_each_panel<Sum<T>>(n, [&](auto packs, int64_t column, int64_t columns) {
      constexpr int panel = packs * width_of<Sum<T>>;
      pack_panel<panel>(from(b, p, column), least(rows, k - p), columns, to + column * k + p * panel);
    });
}

/// The blocks of rows of a [m, k], each transposed.
template <class T>
void pack_left(const Strided<T>& a, int64_t m, int64_t k, Sum<T>* to) {
  const Strided<T> transposed{a.data, a.column_stride, a.row_stride};
  const int64_t rows = rows_at_once(transposed, k);
  for (int64_t p = 0; p < k; p += rows)
    for (int64_t i = 0; i < m; i += block)
      pack_panel<block>(from(transposed, p, i), least(rows, k - p), least(block, m - i), to + i * k + p * block);
}

template <class T>
void matmul(const Product<T>& p, Sum<T>* room) {
  using S = Sum<T>;
  const int64_t depth = share(p.k, most_depth<S>, 1), rows = share(p.m, most_rows, block),
                columns = share(p.n, most_columns, most_panel<S>);
  S *const left = room, *const right = room + most_depth<S> * most_rows;
  for (int64_t j = 0; j < p.n; j += columns) {
    const int64_t n = least(columns, p.n - j);
    for (int64_t l = 0; l < p.k; l += depth) {
      const int64_t k = least(depth, p.k - l);
      const Scaling<S> scaling{p.alpha, l == 0 ? p.beta : S{1}};
      pack_right(from(p.b, l, j), k, n, right);
      for (int64_t i = 0; i < p.m; i += rows) {
        const int64_t m = least(rows, p.m - i);
        pack_left(from(p.a, i, l), m, k, left);
        for_each_panel<S>(n, [&](auto packs, int64_t column, int64_t count) {
          multiply_rows<packs>(m, Strided<S>{left, 1, block}, block * k, right + column * k, k, scaling,
                               p.c + i * p.c_row + j + column, p.c_row, count);
        });
      }
    }
  }
}

}  // namespace

void add_matmul(Kernels& table) {
  table.small_matmul = small_matmul;
  table.matmul = matmul<float>;
  table.doubles.small_matmul = small_matmul;
  table.doubles.matmul = matmul<double>;
  table.matmul_bfloat16 = matmul<bfloat16>;
}

}  // namespace gradus::cpu::vector::GRADUS_ISA
