// Reductions in float32 over any dimensions. The work is cut into pieces of fixed size whose partial results are
// combined in order, so the bits do not even depend on the number of threads.
#include <algorithm>
#include <functional>
#include <limits>

#include "core/cpu/layout.h"
#include "core/cpu/moments.h"
#include "core/cpu/vector/kernels.h"
#include "core/cpu/vectors.h"
#include "core/kernels.h"
#include "core/parallel.h"

namespace gradus::kernels {

namespace {

/// Elements of a piece: small enough to share out, large enough to cost nothing.
constexpr int64_t elements_of_piece = 65536;
/// Columns of a piece where columns are kept, and of a piece of their partial results.
constexpr int64_t piece_columns = 4096, total_columns = 512;

struct Dimension {
  int64_t extent, stride, total_stride;  // in x, and in the row-major totals: 0 where reduced
  bool reduced() const { return total_stride == 0; }
};

/// The dimensions of x by falling stride, neighbors merged where both are kept or both reduced.
struct Dimensions {
  Dimension list[max_rank];
  int count = 0;

  Dimensions(const Tensor& x, const Shape& out) {
    const Strides totals = contiguous_strides(out);
    int order[max_rank], used = 0;
    for (int d = 0; d < x.rank(); ++d) {
      if (x.shape()[d] == 1) continue;
      int at = used++;
      for (; at > 0 && x.strides()[order[at - 1]] < x.strides()[d]; --at) order[at] = order[at - 1];
      order[at] = d;
    }
    for (int i = 0; i < used; ++i) {
      const int d = order[i];
      const Dimension next{x.shape()[d], x.strides()[d], out[d] == 1 ? 0 : totals[d]};
      Dimension* last = count > 0 ? &list[count - 1] : nullptr;
      if (last && last->stride == next.stride * next.extent && last->total_stride == next.total_stride * next.extent) {
        *last = {last->extent * next.extent, next.stride, next.total_stride};
      } else {
        list[count++] = next;
      }
    }
  }
};

/// An uninitialized array of partial results, on the stack where it is short.
class Doubles {
 public:
  explicit Doubles(int64_t count) {
    if (count <= few) return;
    many_ = Storage::allocate(static_cast<size_t>(count) * sizeof(double));
    data_ = static_cast<double*>(many_.data());
  }
  Doubles(const Doubles&) = delete;
  double* data() { return data_; }
  double& operator[](int64_t i) { return data_[i]; }

 private:
  static constexpr int64_t few = 256;
  double short_[few];
  Storage many_;
  double* data_ = short_;
};

double neutral(ReduceOp op) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  return op == ReduceOp::sum ? 0 : op == ReduceOp::max ? -infinity : infinity;
}

/// totals[i] = totals[i] op partial[i]; NaN wins a maximum or minimum.
void combine(ReduceOp op, const double* partial, int64_t n, double* totals) {
  switch (op) {
    case ReduceOp::sum:
      for (int64_t i = 0; i < n; ++i) totals[i] += partial[i];
      break;
    case ReduceOp::max:
      for (int64_t i = 0; i < n; ++i)
        if (partial[i] != partial[i] || partial[i] > totals[i]) totals[i] = partial[i];
      break;
    case ReduceOp::min:
      for (int64_t i = 0; i < n; ++i)
        if (partial[i] != partial[i] || partial[i] < totals[i]) totals[i] = partial[i];
      break;
  }
}

void round_to(const double* from, int64_t n, float* to, int64_t stride) {
  if (stride == 1)
    for (int64_t i = 0; i < n; ++i) to[i] = static_cast<float>(from[i]);
  else
    for (int64_t i = 0; i < n; ++i) to[i * stride] = static_cast<float>(from[i]);
}

int64_t pieces(int64_t extent, int64_t piece) { return (extent + piece - 1) / piece; }

/// The outer dimensions of x, position by position in the order of memory: each has a partial result, or several of
/// `stretches`, and those that make up one result have neighboring slots.
class Outer {
 public:
  Outer(const Dimension* list, int count, int64_t stretches) : list_(list), count_(count), each_(stretches) {
    for (int d = count - 1; d >= 0; --d) {
      if (!list[d].reduced()) continue;
      slots_[d] = each_;
      each_ *= list[d].extent;
    }
    for (int d = count - 1; d >= 0; --d) {
      if (list[d].reduced()) continue;
      slots_[d] = each_ * results_;
      results_ *= list[d].extent;
    }
  }
  int64_t results() const { return results_; }
  /// Slots of a result.
  int64_t each() const { return each_; }

  struct Place {
    int64_t x = 0, slot = 0;
  };
  Place place(int64_t position) const {
    Place at;
    for (int d = count_ - 1; d >= 0; --d) {
      const int64_t i = position % list_[d].extent;
      position /= list_[d].extent;
      at.x += i * list_[d].stride;
      at.slot += i * slots_[d];
    }
    return at;
  }
  /// Where a result lies in the totals.
  int64_t total(int64_t result) const {
    int64_t at = 0;
    for (int d = count_ - 1; d >= 0; --d) {
      if (list_[d].reduced()) continue;
      at += result % list_[d].extent * list_[d].total_stride;
      result /= list_[d].extent;
    }
    return at;
  }

 private:
  const Dimension* list_;
  int count_;
  int64_t each_, results_ = 1, slots_[max_rank] = {};
};

/// The innermost dimension is reduced, and no other: each row has its result.
void reduce_each_row(ReduceOp op, const float* x, const Dimensions& dims, float* out) {
  const auto rows_kernel = cpu::vector::kernels().reduce_rows[static_cast<int>(op)];
  const int64_t length = dims.list[dims.count - 1].extent;
  const Dimension row = dims.count > 1 ? dims.list[dims.count - 2] : Dimension{1, 0, 0};
  const Outer outer(dims.list, std::max(dims.count - 2, 0), 1);
  parallel_for(outer.results() * row.extent, std::max<int64_t>(1, elements_of_piece / length),
               [&](int64_t begin, int64_t end) {
                 while (begin < end) {
                   const int64_t block = begin / row.extent, first = begin % row.extent;
                   const int64_t count = std::min(row.extent - first, end - begin);
                   rows_kernel(x + outer.place(block).x + first * row.stride, count, row.stride, length,
                               out + outer.total(block) + first * row.total_stride, row.total_stride);
                   begin += count;
                 }
               });
}

/// The innermost dimension is reduced: one partial result for each stretch of a row.
void reduce_rows(ReduceOp op, const float* x, const Dimensions& dims, float* out) {
  const auto row_kernel = cpu::vector::kernels().reduce_row[static_cast<int>(op)];
  const int64_t length = dims.list[dims.count - 1].extent, stretches = pieces(length, elements_of_piece);
  const Outer outer(dims.list, dims.count - 1, stretches);
  if (outer.each() == 1) return reduce_each_row(op, x, dims, out);
  const int64_t units = outer.results() * outer.each();
  Doubles partial(units);
  parallel_for(units, std::max<int64_t>(1, elements_of_piece / length), [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      const auto [at, slot] = outer.place(unit / stretches);
      const int64_t stretch = unit % stretches, from = stretch * elements_of_piece;
      partial[slot + stretch] = row_kernel(x + at + from, std::min(elements_of_piece, length - from));
    }
  });
  parallel_for(outer.results(), std::max<int64_t>(1, elements_of_piece / outer.each()),
               [&](int64_t begin, int64_t end) {
                 for (int64_t result = begin; result < end; ++result) {
                   double total = neutral(op);
                   for (int64_t i = 0; i < outer.each(); ++i)
                     combine(op, &partial[result * outer.each() + i], 1, &total);
                   out[outer.total(result)] = static_cast<float>(total);
                 }
               });
}

/// The innermost dimension is kept: one partial row of results for each stretch of rows.
void reduce_columns(ReduceOp op, const float* x, const Dimensions& dims, float* out) {
  const auto column_kernel = cpu::vector::kernels().reduce_columns[static_cast<int>(op)];
  const int64_t columns = dims.list[dims.count - 1].extent, column_stride = dims.list[dims.count - 1].total_stride;
  int count = dims.count - 1;
  Dimension rows{1, 0, 0};
  if (count > 0 && dims.list[count - 1].reduced()) rows = dims.list[--count];
  const int64_t tile = std::min(columns, piece_columns), tiles = pieces(columns, tile);
  const int64_t stretch = std::max<int64_t>(1, elements_of_piece / tile), stretches = pieces(rows.extent, stretch);
  const Outer outer(dims.list, count, stretches);
  const bool whole = outer.each() == 1;  // no partial results
  Doubles partial(whole ? 0 : outer.results() * outer.each() * columns);
  const int64_t unit_elements = std::min(stretch, rows.extent) * tile;
  parallel_for(outer.results() * outer.each() * tiles, std::max<int64_t>(1, elements_of_piece / unit_elements),
               [&](int64_t begin, int64_t end) {
                 Doubles totals(whole ? tile : 0);
                 for (int64_t unit = begin; unit < end; ++unit) {
                   const int64_t column = unit % tiles * tile, here = unit / tiles % stretches, row = here * stretch;
                   const auto [at, slot] = outer.place(unit / tiles / stretches);
                   const int64_t n = std::min(tile, columns - column);
                   double* to = whole ? totals.data() : &partial[(slot + here) * columns + column];
                   column_kernel(x + at + row * rows.stride + column, std::min(stretch, rows.extent - row), rows.stride,
                                 n, to);
                   if (whole) round_to(to, n, out + outer.total(slot) + column * column_stride, column_stride);
                 }
               });
  if (whole) return;
  const int64_t total_tiles = pieces(columns, total_columns);
  parallel_for(outer.results() * total_tiles,
               std::max<int64_t>(1, elements_of_piece / (outer.each() * std::min(columns, total_columns))),
               [&](int64_t begin, int64_t end) {
                 double totals[total_columns];
                 for (int64_t unit = begin; unit < end; ++unit) {
                   const int64_t result = unit / total_tiles, column = unit % total_tiles * total_columns;
                   const int64_t n = std::min(total_columns, columns - column);
                   std::fill_n(totals, n, neutral(op));
                   for (int64_t slot = result * outer.each(); slot < (result + 1) * outer.each(); ++slot)
                     combine(op, &partial[slot * columns + column], n, totals);
                   round_to(totals, n, out + outer.total(result) + column * column_stride, column_stride);
                 }
               });
}

/// Of flat int64 memory, such as an index that is checked; in lanes, as a comparison waits for the one before.
template <class Wins>
int64_t extremum(const int64_t* x, int64_t n, Wins wins) {
  constexpr int64_t lanes = 4;
  int64_t best[lanes] = {x[0], x[0], x[0], x[0]};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int64_t j = 0; j < lanes; ++j) best[j] = wins(x[i + j], best[j]) ? x[i + j] : best[j];
  for (; i < n; ++i) best[0] = wins(x[i], best[0]) ? x[i] : best[0];
  for (int64_t j = 1; j < lanes; ++j) best[0] = wins(best[j], best[0]) ? best[j] : best[0];
  return best[0];
}

}  // namespace

void reduce(ReduceOp op, const Tensor& x, Tensor& out) {
  if (x.dtype() == DType::bfloat16) {
    Tensor wide = Tensor::empty_like(x, DType::float32), result = Tensor::empty(out.shape());
    kernels::copy(x, wide);
    kernels::reduce(op, wide, result);
    return kernels::copy(result, out);
  }
  if (x.dtype() == DType::int64 && op != ReduceOp::sum && out.numel() == 1 && x.numel() > 0 && x.is_contiguous()) {
    const auto* from = static_cast<const int64_t*>(x.raw());
    *static_cast<int64_t*>(out.raw()) =
        op == ReduceOp::max ? extremum(from, x.numel(), std::greater<>()) : extremum(from, x.numel(), std::less<>());
    return;
  }
  if (x.dtype() != DType::float32 || x.numel() == 0) return ref::reduce(op, x, out);
  const Dimensions dims(x, out.shape());
  if (dims.count == 0) return kernels::copy(x, out);
  if (dims.list[dims.count - 1].stride != 1) return kernels::reduce(op, cpu::as_layout(x, Layout::contiguous), out);
  cpu::write_as_layout(out, Layout::contiguous, [&](Tensor& row_major) {
    const bool rows = dims.list[dims.count - 1].reduced();
    (rows ? reduce_rows : reduce_columns)(op, cpu::floats(x), dims, cpu::mutable_floats(row_major));
  });
}

void mean(const Tensor& x, Tensor& out) {
  Tensor terms = x;
  if (x.dtype() != out.dtype()) {
    terms = Tensor::empty_like(x, out.dtype());
    copy(x, terms);
  }
  reduce(ReduceOp::sum, terms, out);
  binary_scalar(BinaryOp::div, out, static_cast<double>(x.numel() / out.numel()), out);
}

void bias_relu_backward(const Tensor& gy, const Tensor& y, Tensor& gz, Tensor& gbias) {
  const bool narrow = y.dtype() == DType::bfloat16;
  if ((y.dtype() != DType::float32 && !narrow) || y.numel() == 0) return ref::bias_relu_backward(gy, y, gz, gbias);
  const Tensor gradient = cpu::as_layout(gy, Layout::channels_last), result = cpu::as_layout(y, Layout::channels_last);
  const int64_t channels = y.shape()[1], rows = y.numel() / channels;
  const int64_t stretch = std::max<int64_t>(1, elements_of_piece / channels), stretches = pieces(rows, stretch);
  Doubles partial(stretches * channels);
  cpu::write_as_layout(gz, Layout::channels_last, [&](Tensor& out) {
    const auto mask = [&]<class T>(void (*kernel)(const T*, const T*, int64_t, int64_t, T*, double*)) {
      parallel_for(stretches, 1, [&](int64_t begin, int64_t end) {
        for (int64_t s = begin; s < end; ++s) {
          const int64_t at = s * stretch * channels;
          kernel(gradient.data<T>() + at, result.data<T>() + at, std::min(stretch, rows - s * stretch), channels,
                 out.data<T>() + at, &partial[s * channels]);
        }
      });
    };
    const auto& table = cpu::vector::kernels();
    narrow ? mask(table.mask_columns_bfloat16) : mask(table.mask_columns);
  });
  cpu::store(cpu::column_sums(partial.data(), stretches, channels), gbias);
}

}  // namespace gradus::kernels
