// Matrix products in float32 and float64 by our own kernels: small ones, those with one row and those of two vectors
// without any set-up, others in pieces, one or more for each thread. Those of bfloat16 by oneDNN where the processor
// has instructions for them, in float32 where it has none.
#include <algorithm>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/cpu/layout.h"
#include "core/cpu/onednn.h"
#include "core/cpu/vector/kernels.h"
#include "core/kernels.h"
#include "core/parallel.h"

namespace gradus::kernels {

namespace {

using cpu::vector::Strided;
using cpu::vector::Sum;
using cpu::vector::typed_kernels;

/// Multiplications up to which a product needs neither threads nor a copy of its left operand.
constexpr int64_t small_product = 64 * 64 * 64;
/// Multiplications that are worth a thread.
constexpr int64_t thread_grain = 4 * small_product;
/// Elements of a product of two vectors up to which it is left in the cache nearest to a core.
constexpr int64_t cached_product = 128 * 1024;
/// Multiplications that are worth a thread where each takes an element from memory.
constexpr int64_t streamed_grain = 32 * 1024;

/// The last two dimensions.
struct Matrix {
  explicit Matrix(const Tensor& x)
      : rows(x.size(-2)),
        columns(x.size(-1)),
        row_stride(x.strides()[x.rank() - 2]),
        column_stride(x.strides()[x.rank() - 1]) {}
  /// Contiguous rows at least their length apart, as BLAS wants them.
  bool is_row_major() const { return (column_stride == 1 || columns == 1) && (row_stride >= columns || rows == 1); }
  bool is_column_major() const { return transposed().is_row_major(); }
  Matrix transposed() const {
    Matrix t = *this;
    std::swap(t.rows, t.columns);
    std::swap(t.row_stride, t.column_stride);
    return t;
  }
  int64_t rows, columns, row_stride, column_stride;
};

Tensor transposed(const Tensor& x) {
  Shape shape = x.shape();
  Strides strides = x.strides();
  std::swap(shape[x.rank() - 2], shape[x.rank() - 1]);
  std::swap(strides[x.rank() - 2], strides[x.rank() - 1]);
  return Tensor(x.storage(), x.offset(), shape, strides, x.dtype());
}

/// Offsets of the matrices of a batch in the three tensors.
struct Batch {
  Batch(const Tensor& a, const Tensor& b, const Tensor& out) : leading(out.shape()), tensors{&a, &b, &out} {
    leading.pop_back();
    leading.pop_back();
  }
  int64_t count() const { return numel(leading); }
  int64_t offset(int tensor, int64_t index) const {
    int64_t result = 0;
    for (int d = leading.rank() - 1; d >= 0; --d) {
      result += index % leading[d] * tensors[tensor]->strides()[d];
      index /= leading[d];
    }
    return result;
  }
  Shape leading;
  const Tensor* tensors[3];
};

template <class T, class Multiply>
void for_each_product(const Tensor& a, const Tensor& b, Tensor& out, int64_t grain, Multiply multiply) {
  const Batch batch(a, b, out);
  const auto *left = static_cast<const T*>(a.raw()), *right = static_cast<const T*>(b.raw());
  auto* to = static_cast<T*>(out.raw());
  parallel_for(batch.count(), grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      multiply(left + batch.offset(0, i), right + batch.offset(1, i), to + batch.offset(2, i));
  });
}

/// A product's pieces: rectangles of the result of at most rows x columns.
struct Tiling {
  /// As many as give each thread the same number of them in a batch of `count`, in the arrangement whose pieces cost
  /// least: their multiplications, and the copying of the operands' parts.
  Tiling(int64_t m, int64_t n, int64_t k, int64_t count) {
    constexpr int64_t row_unit = 8, column_unit = 48, copy_cost = 8;
    const int64_t threads = threads_here(), wanted = threads / std::gcd(threads, count);
    const int64_t most = std::clamp<int64_t>(m * n * k / thread_grain, 1, wanted);
    const auto share = [](int64_t extent, int64_t parts, int64_t unit) {
      return (extent + parts * unit - 1) / (parts * unit) * unit;
    };
    int64_t least = 0;
    for (int64_t along = 1; along <= most; ++along) {
      const int64_t r = share(m, along, row_unit), c = share(n, most / along, column_unit);
      const int64_t cost = r * c + copy_cost * (r + c);
      if (along > 1 && cost >= least) continue;
      least = cost, rows = r, columns = c;
    }
    across = (n + columns - 1) / columns;
    total = (m + rows - 1) / rows * across;
  }
  int64_t rows, columns;  ///< of a piece
  int64_t across, total;  ///< pieces beside each other, and all
};

template <class T>
void multiply_piece(const cpu::vector::Product<T>& product, Sum<T>* room) {
  if constexpr (std::is_same_v<T, bfloat16>)
    cpu::vector::kernels().matmul_bfloat16(product, room);
  else
    typed_kernels<T>().matmul(product, room);
}

/// Products of T of any extents and strides; out has contiguous rows of Sum<T>.
template <class T>
void multiply_in_pieces(const Tensor& a, const Tensor& b, Sum<T> alpha, Sum<T> beta, Tensor& out) {
  const Matrix left(a), right(b), to(out);
  const int64_t m = left.rows, n = right.columns, k = left.columns;
  const Batch batch(a, b, out);
  const Tiling pieces(m, n, k, batch.count());
  const auto *x = static_cast<const T*>(a.raw()), *y = static_cast<const T*>(b.raw());
  auto* z = static_cast<Sum<T>*>(out.raw());
  const int64_t grain = std::max<int64_t>(1, thread_grain / std::max<int64_t>(1, m * n * k / pieces.total));
  parallel_for(batch.count() * pieces.total, grain, [&](int64_t begin, int64_t end) {
    const Storage room = Storage::allocate(cpu::vector::matmul_room);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t product = i / pieces.total, piece = i % pieces.total;
      const int64_t row = piece / pieces.across * pieces.rows, column = piece % pieces.across * pieces.columns;
      const Strided<T> from{x + batch.offset(0, product) + row * left.row_stride, left.row_stride, left.column_stride};
      const Strided<T> by{y + batch.offset(1, product) + column * right.column_stride, right.row_stride,
                          right.column_stride};
      multiply_piece<T>({std::min(pieces.rows, m - row), std::min(pieces.columns, n - column), k, alpha, from, by, beta,
                         z + batch.offset(2, product) + row * to.row_stride + column, to.row_stride},
                        static_cast<Sum<T>*>(room.data()));
    }
  });
}

/// Rows of a matrix that a thread takes at a time, with `work` multiplications each.
int64_t rows_worth(int64_t work) { return std::max<int64_t>(1, streamed_grain / std::max<int64_t>(work, 1)); }

/// Whether row_times() can multiply them: one row that lies together, and a matrix of rows or columns that do.
bool is_row_times(const Matrix& left, const Matrix& right) {
  return left.rows == 1 && left.column_stride == 1 && (right.is_row_major() || right.is_column_major());
}

/// y = alpha x b + beta y, or of the squares of b.
template <class T>
void row_times(const T* x, const Matrix& b, const T* data, bool squared, T alpha, T beta, T* y) {
  const auto& table = typed_kernels<T>();
  const int64_t k = b.rows, n = b.columns;
  if (b.is_row_major()) {
    constexpr int64_t chunk = 64;  // rows that are summed by themselves, so that the bits don't depend on threads
    const int64_t chunks = (k + chunk - 1) / chunk;
    std::vector<T> sums(static_cast<size_t>(chunks * n));
    parallel_for(chunks, rows_worth(chunk * n), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        table.add_row_times_matrix[squared](x + i * chunk, data + i * chunk * b.row_stride, b.row_stride,
                                            std::min(chunk, k - i * chunk), n, sums.data() + i * n);
    });
    for (int64_t i = 1; i < chunks; ++i) table.axpby(1, sums.data() + i * n, 1, sums.data(), n);
    if (beta == 0)
      table.scale(alpha, sums.data(), y, n);
    else
      table.axpby(alpha, sums.data(), beta, y, n);
    return;
  }
  parallel_for(n, rows_worth(k), [&](int64_t begin, int64_t end) {
    table.row_times_transposed[squared](x, data + begin * b.column_stride, b.column_stride, k, end - begin, alpha, beta,
                                        y + begin);
  });
}

/// z = x y^T for vectors.
template <class T>
void outer_product(const Matrix& a, const T* x, const T* y, int64_t n, T* z, int64_t z_row) {
  const auto kernel = typed_kernels<T>().outer_product;
  const bool past_caches = a.rows * n > cached_product;
  parallel_for(a.rows, rows_worth(n), [&](int64_t begin, int64_t end) {
    kernel(x + begin * a.row_stride, a.row_stride, y, end - begin, n, z + begin * z_row, z_row, past_caches);
  });
}

/// out has contiguous rows.
template <class T>
void multiply(const Tensor& a, const Tensor& b, T alpha, T beta, Tensor& out) {
  const Matrix left(a), right(b), to(out);
  const int64_t m = left.rows, n = right.columns, k = left.columns, work = m * n * k;
  const int64_t grain = std::max<int64_t>(1, thread_grain / work);
  if (k == 1 && alpha == 1 && beta == 0 && right.column_stride == 1) {
    for_each_product<T>(a, b, out, grain,
                        [&](const T* x, const T* y, T* z) { outer_product(left, x, y, n, z, to.row_stride); });
    return;
  }
  if (work <= small_product && k <= cpu::vector::small_matmul_depth) {
    const auto small = typed_kernels<T>().small_matmul;
    for_each_product<T>(a, b, out, grain, [&](const T* x, const T* y, T* z) {
      small(m, n, k, alpha, Strided<T>{x, left.row_stride, left.column_stride},
            Strided<T>{y, right.row_stride, right.column_stride}, beta, z, to.row_stride);
    });
    return;
  }
  if (n == 1 && m > 1 && to.row_stride == 1) {  // a column: the transposed row
    Tensor row = transposed(out);
    return multiply(transposed(b), transposed(a), alpha, beta, row);
  }
  if (is_row_times(left, right)) {
    // One product at a time is spread over the threads, unless there are enough to share out.
    const int64_t count = Batch(a, b, out).count();
    return for_each_product<T>(a, b, out, count < threads_here() ? count : 1,
                               [&](const T* x, const T* y, T* z) { row_times(x, right, y, false, alpha, beta, z); });
  }
  multiply_in_pieces<T>(a, b, alpha, beta, out);
}

/// x, or a contiguous copy where neither its rows nor its columns are.
Tensor operand(const Tensor& x) {
  const Matrix matrix(x);
  return matrix.is_row_major() || matrix.is_column_major() ? x : cpu::as_layout(x, Layout::contiguous);
}

/// A product of bfloat16 matrices by the processor's instructions for it, summed in float32; out has contiguous rows.
void multiply_natively(const Tensor& a, const Tensor& b, Tensor& out) {
  using namespace cpu::onednn;
  const Tensor left = operand(a), right = operand(b);
  const Batch batch(left, right, out);
  const auto describe = [](const Tensor& x) {
    const Matrix m(x);
    const bool row_major = m.is_row_major();
    const int64_t stride = row_major ? std::max(m.row_stride, m.columns) : std::max(m.column_stride, m.rows);
    return matrix(m.rows, m.columns, stride, !row_major, x.dtype());
  };
  guarded("matmul", [&] {
    const auto description = product(describe(left), describe(right), describe(out));
    const dnnl::matmul product(description);
    const Storage scratchpad = Storage::allocate(description.scratchpad_desc().get_size());
    const auto at = [&](int tensor, const Tensor& x, int64_t i) {
      return static_cast<char*>(x.raw()) + batch.offset(tensor, i) * static_cast<int64_t>(size_of(x.dtype()));
    };
    for (int64_t i = 0; i < batch.count(); ++i)
      product.execute(stream(),
                      Arguments{{DNNL_ARG_SRC, memory(description.src_desc(), at(0, left, i))},
                                {DNNL_ARG_WEIGHTS, memory(description.weights_desc(), at(1, right, i))},
                                {DNNL_ARG_DST, memory(description.dst_desc(), at(2, out, i))},
                                {DNNL_ARG_SCRATCHPAD, memory(description.scratchpad_desc(), scratchpad.data())}});
    stream().wait();
  });
}

/// For out in any memory order: rows that lie together, columns, or neither.
template <class T>
void multiply_into(const Tensor& a, const Tensor& b, double alpha, double beta, Tensor& out) {
  const auto scale = static_cast<T>(alpha), keep = static_cast<T>(beta);
  if (Matrix(out).is_row_major()) {
    multiply(a, b, scale, keep, out);
  } else if (Matrix(out).is_column_major()) {
    Tensor out_transposed = transposed(out);  // (a b)^T = b^T a^T
    multiply(transposed(b), transposed(a), scale, keep, out_transposed);
  } else {
    Tensor dense = Tensor::empty(out.shape(), out.dtype());
    if (beta != 0) kernels::copy(out, dense);
    multiply(a, b, scale, keep, dense);
    kernels::copy(dense, out);
  }
}

}  // namespace

void matmul(const Tensor& a, const Tensor& b, double alpha, double beta, Tensor& out) {
  if (out.numel() == 0) return;
  if (a.dtype() == DType::bfloat16 && a.size(-1) > 0) {
    const bool native = device::has_fast(a.dtype()), plain = alpha == 1 && beta == 0;
    const bool direct = plain && Matrix(out).is_row_major() && (native || out.dtype() == DType::float32);
    Tensor result = direct ? out : Tensor::empty(out.shape());
    if (native)
      multiply_natively(a, b, result);
    else
      multiply_in_pieces<bfloat16>(a, b, 1, 0, result);
    if (direct) return;
    if (plain) return kernels::copy(result, out);
    if (result.dtype() == out.dtype()) return kernels::axpby(alpha, result, beta, out);
    Tensor narrow = Tensor::empty(out.shape(), out.dtype());
    kernels::copy(result, narrow);
    return kernels::axpby(alpha, narrow, beta, out);
  }
  if (a.size(-1) > 0 && out.dtype() == DType::float32) return multiply_into<float>(a, b, alpha, beta, out);
  if (a.size(-1) > 0 && out.dtype() == DType::float64) return multiply_into<double>(a, b, alpha, beta, out);
  ref::matmul(a, b, alpha, beta, out);
}

void matmul_of_squares(const Tensor& a, const Tensor& b, Tensor& out) {
  const Matrix left(a), right(b);
  if (out.dtype() == DType::float32 && b.rank() == 2 && is_row_times(left, right) && Matrix(out).is_row_major()) {
    row_times<float>(static_cast<const float*>(a.raw()), right, static_cast<const float*>(b.raw()), true, 1, 0,
                     static_cast<float*>(out.raw()));
    return;
  }
  Tensor squares = Tensor::empty_like(b);
  unary(UnaryOp::square, b, squares);
  matmul(a, squares, 1, 0, out);
}

}  // namespace gradus::kernels
