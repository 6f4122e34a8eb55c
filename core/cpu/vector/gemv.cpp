// Products of a row vector and a matrix, which is read once, in the order in which it lies in memory; and of two
// vectors.
#include "core/cpu/vector/kernels.h"
#include "core/cpu/vector/pack.h"

namespace gradus::cpu::vector::GRADUS_ISA {

namespace {

template <bool Squared, class Pack>
Pack term(Pack factor, Pack b, Pack sum) {
  return multiply_add(factor, Squared ? b * b : b, sum);
}

/// y += x_0 b_0 + x_1 b_1 + ... for `Rows` rows of b.
template <bool Squared, int Rows, class T>
void add_rows(const T* x, const T* b, int64_t b_row, int64_t n, T* y) {
  PackOf<T> factors[Rows];
  for (int r = 0; r < Rows; ++r) factors[r] = spread(x[r]);
  int64_t j = 0;
  for (; j + width_of<T> <= n; j += width_of<T>) {
    PackOf<T> sum = load(y + j);
    for (int r = 0; r < Rows; ++r) {
      __builtin_prefetch(b + (r + Rows) * b_row + j, 0, 2);
      sum = term<Squared>(factors[r], load(b + r * b_row + j), sum);
    }
    store(y + j, sum);
  }
  if (j == n) return;
  PackOf<T> sum = load_first(y + j, n - j);
  for (int r = 0; r < Rows; ++r) sum = term<Squared>(factors[r], load_first(b + r * b_row + j, n - j), sum);
  store_first(y + j, sum, n - j);
}

template <bool Squared, class T>
void add_row_times_matrix(const T* x, const T* b, int64_t b_row, int64_t k, int64_t n, T* y) {
  int64_t i = 0;
  for (; i + 8 <= k; i += 8) add_rows<Squared, 8>(x + i, b + i * b_row, b_row, n, y);
  for (; i < k; ++i) add_rows<Squared, 1>(x + i, b + i * b_row, b_row, n, y);
}

template <class T>
T total(PackOf<T> p) {
  T sum = 0;
  for (int i = 0; i < width_of<T>; ++i) sum += p[i];
  return sum;
}

/// Inner products of x with `Rows` rows of b.
template <bool Squared, int Rows, class T>
void inner_products(const T* x, const T* b, int64_t b_row, int64_t k, T alpha, T beta, T* y) {
  constexpr int ways = 2;  // sums of one row, the same for every number of rows beside it
  PackOf<T> sums[Rows][ways] = {};
  int64_t i = 0;
  for (; i + ways * width_of<T> <= k; i += ways * width_of<T>)
    for (int w = 0; w < ways; ++w) {
      const PackOf<T> factor = load(x + i + w * width_of<T>);
      for (int r = 0; r < Rows; ++r) __builtin_prefetch(b + (r + Rows) * b_row + i + w * width_of<T>, 0, 2);
      for (int r = 0; r < Rows; ++r)
        sums[r][w] = term<Squared>(factor, load(b + r * b_row + i + w * width_of<T>), sums[r][w]);
    }
  for (; i < k; i += width_of<T>) {
    const int64_t count = k - i < width_of<T> ? k - i : width_of<T>;
    const PackOf<T> factor = load_first(x + i, count);
    for (int r = 0; r < Rows; ++r) sums[r][0] = term<Squared>(factor, load_first(b + r * b_row + i, count), sums[r][0]);
  }
  for (int r = 0; r < Rows; ++r) {
    PackOf<T> sum = sums[r][0];
    for (int w = 1; w < ways; ++w) sum += sums[r][w];
    const T product = alpha * total<T>(sum);
    y[r] = beta == 0 ? product : product + beta * y[r];
  }
}

template <bool Squared, class T>
void row_times_transposed(const T* x, const T* b, int64_t b_row, int64_t k, int64_t n, T alpha, T beta, T* y) {
  int64_t j = 0;
  for (; j + 4 <= n; j += 4) inner_products<Squared, 4>(x, b + j * b_row, b_row, k, alpha, beta, y + j);
  for (; j < n; ++j) inner_products<Squared, 1>(x, b + j * b_row, b_row, k, alpha, beta, y + j);
}

/// z = x y^T with every element written by put(address, pack); the columns beyond the last whole pack by store_first().
template <class T, class Put>
void write_outer_product(const T* x, int64_t x_stride, const T* y, int64_t m, int64_t n, T* z, int64_t z_row, Put put) {
  for (int64_t i = 0; i < m; ++i, z += z_row) {
    const PackOf<T> factor = spread(x[i * x_stride]);
    int64_t j = 0;
    for (; j + width_of<T> <= n; j += width_of<T>) put(z + j, factor * load(y + j));
    if (j < n) store_first(z + j, factor * load_first(y + j, n - j), n - j);
  }
}

template <class T>
void outer_product(const T* x, int64_t x_stride, const T* y, int64_t m, int64_t n, T* z, int64_t z_row,
                   bool past_caches) {
  constexpr uintptr_t size = sizeof(PackOf<T>);
  if (past_caches && reinterpret_cast<uintptr_t>(z) % size == 0 && z_row % width_of<T> == 0) {
    write_outer_product(x, x_stride, y, m, n, z, z_row, [](T* to, PackOf<T> p) { stream(to, p); });
    end_streams();
  } else {
    write_outer_product(x, x_stride, y, m, n, z, z_row, [](T* to, PackOf<T> p) { store(to, p); });
  }
}

template <class T>
void add_vector_products(Products<T>& table) {
  table.add_row_times_matrix[false] = add_row_times_matrix<false>;
  table.add_row_times_matrix[true] = add_row_times_matrix<true>;
  table.outer_product = outer_product;
  table.row_times_transposed[false] = row_times_transposed<false>;
  table.row_times_transposed[true] = row_times_transposed<true>;
}

}  // namespace

void add_gemv(Kernels& table) {
  add_vector_products<float>(table);
  add_vector_products<double>(table.doubles);
}

}  // namespace gradus::cpu::vector::GRADUS_ISA
