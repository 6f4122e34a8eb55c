// Products of a row vector and a matrix, which is read once, in the order in which it lies in memory; and of two
// vectors.
#include "core/cpu/vector/kernels.h"
#include "core/cpu/vector/pack.h"

namespace gradus::cpu::vector::GRADUS_ISA {

namespace {

template <bool Squared>
Pack term(Pack factor, Pack b, Pack sum) {
  return multiply_add(factor, Squared ? b * b : b, sum);
}

/// y += x_0 b_0 + x_1 b_1 + ... for `Rows` rows of b.
template <bool Squared, int Rows>
void add_rows(const float* x, const float* b, int64_t b_row, int64_t n, float* y) {
  Pack factors[Rows];
  for (int r = 0; r < Rows; ++r) factors[r] = spread(x[r]);
  int64_t j = 0;
  for (; j + width <= n; j += width) {
    Pack sum = load(y + j);
    for (int r = 0; r < Rows; ++r) {
      __builtin_prefetch(b + (r + Rows) * b_row + j, 0, 2);
      sum = term<Squared>(factors[r], load(b + r * b_row + j), sum);
    }
    store(y + j, sum);
  }
  if (j == n) return;
  Pack sum = load_first(y + j, n - j);
  for (int r = 0; r < Rows; ++r) sum = term<Squared>(factors[r], load_first(b + r * b_row + j, n - j), sum);
  store_first(y + j, sum, n - j);
}

template <bool Squared>
void add_row_times_matrix(const float* x, const float* b, int64_t b_row, int64_t k, int64_t n, float* y) {
  int64_t i = 0;
  for (; i + 8 <= k; i += 8) add_rows<Squared, 8>(x + i, b + i * b_row, b_row, n, y);
  for (; i < k; ++i) add_rows<Squared, 1>(x + i, b + i * b_row, b_row, n, y);
}

float total(Pack p) {
  float sum = 0;
  for (int i = 0; i < width; ++i) sum += p[i];
  return sum;
}

/// Inner products of x with `Rows` rows of b.
template <bool Squared, int Rows>
void inner_products(const float* x, const float* b, int64_t b_row, int64_t k, float alpha, float beta, float* y) {
  constexpr int ways = 2;  // sums of one row, the same for every number of rows beside it
  Pack sums[Rows][ways] = {};
  int64_t i = 0;
  for (; i + ways * width <= k; i += ways * width)
    for (int w = 0; w < ways; ++w) {
      const Pack factor = load(x + i + w * width);
      for (int r = 0; r < Rows; ++r) __builtin_prefetch(b + (r + Rows) * b_row + i + w * width, 0, 2);
      for (int r = 0; r < Rows; ++r)
        sums[r][w] = term<Squared>(factor, load(b + r * b_row + i + w * width), sums[r][w]);
    }
  for (; i < k; i += width) {
    const int64_t count = k - i < width ? k - i : width;
    const Pack factor = load_first(x + i, count);
    for (int r = 0; r < Rows; ++r) sums[r][0] = term<Squared>(factor, load_first(b + r * b_row + i, count), sums[r][0]);
  }
  for (int r = 0; r < Rows; ++r) {
    Pack sum = sums[r][0];
    for (int w = 1; w < ways; ++w) sum += sums[r][w];
    const float product = alpha * total(sum);
    y[r] = beta == 0 ? product : product + beta * y[r];
  }
}

template <bool Squared>
void row_times_transposed(const float* x, const float* b, int64_t b_row, int64_t k, int64_t n, float alpha, float beta,
                          float* y) {
  int64_t j = 0;
  for (; j + 4 <= n; j += 4) inner_products<Squared, 4>(x, b + j * b_row, b_row, k, alpha, beta, y + j);
  for (; j < n; ++j) inner_products<Squared, 1>(x, b + j * b_row, b_row, k, alpha, beta, y + j);
}

/// z = x y^T with every element written by put(address, pack); the columns beyond the last whole pack by store_first().
template <class Put>
void write_outer_product(const float* x, int64_t x_stride, const float* y, int64_t m, int64_t n, float* z,
                         int64_t z_row, Put put) {
  for (int64_t i = 0; i < m; ++i, z += z_row) {
    const Pack factor = spread(x[i * x_stride]);
    int64_t j = 0;
    for (; j + width <= n; j += width) put(z + j, factor * load(y + j));
    if (j < n) store_first(z + j, factor * load_first(y + j, n - j), n - j);
  }
}

void outer_product(const float* x, int64_t x_stride, const float* y, int64_t m, int64_t n, float* z, int64_t z_row,
                   bool past_caches) {
  constexpr uintptr_t size = sizeof(Pack);
  if (past_caches && reinterpret_cast<uintptr_t>(z) % size == 0 && z_row % width == 0) {
    write_outer_product(x, x_stride, y, m, n, z, z_row, [](float* to, Pack p) { stream(to, p); });
    end_streams();
  } else {
    write_outer_product(x, x_stride, y, m, n, z, z_row, [](float* to, Pack p) { store(to, p); });
  }
}

}  // namespace

void add_gemv(Kernels& table) {
  table.add_row_times_matrix[false] = add_row_times_matrix<false>;
  table.add_row_times_matrix[true] = add_row_times_matrix<true>;
  table.outer_product = outer_product;
  table.row_times_transposed[false] = row_times_transposed<false>;
  table.row_times_transposed[true] = row_times_transposed<true>;
}

}  // namespace gradus::cpu::vector::GRADUS_ISA
