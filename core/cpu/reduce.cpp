// Reductions in float32 over any dimensions. The work is cut into pieces of fixed size whose partial results are
// combined in order, so the bits do not even depend on the number of threads.
#include <algorithm>
#include <functional>
#include <limits>
#include <vector>

#include "core/cpu/layout.h"
#include "core/cpu/vector/kernels.h"
#include "core/kernels.h"
#include "core/parallel.h"

namespace gradus::kernels {

namespace {

/// Elements of a piece: small enough to share out, large enough to cost nothing.
constexpr int64_t elements_of_piece = 65536;
/// Columns of a piece where columns are kept.
constexpr int64_t piece_columns = 4096;

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

/// An array of partial results, on the stack where it is short.
class Doubles {
 public:
  explicit Doubles(int64_t count, double value = 0) {
    if (count > few) {
      many_.assign(static_cast<size_t>(count), value);
      data_ = many_.data();
    } else {
      std::fill_n(data_, count, value);
    }
  }
  Doubles(const Doubles&) = delete;
  double* data() { return data_; }
  double& operator[](int64_t i) { return data_[i]; }

 private:
  static constexpr int64_t few = 256;
  double short_[few];
  std::vector<double> many_;
  double* data_ = short_;
};

double neutral(ReduceOp op) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  return op == ReduceOp::sum ? 0 : op == ReduceOp::max ? -infinity : infinity;
}

/// totals[i * stride] = totals[i * stride] op partial[i]; NaN wins a maximum or minimum.
void combine(ReduceOp op, const double* partial, int64_t n, double* totals, int64_t stride) {
  switch (op) {
    case ReduceOp::sum:
      for (int64_t i = 0; i < n; ++i) totals[i * stride] += partial[i];
      break;
    case ReduceOp::max:
      for (int64_t i = 0; i < n; ++i)
        if (partial[i] != partial[i] || partial[i] > totals[i * stride]) totals[i * stride] = partial[i];
      break;
    case ReduceOp::min:
      for (int64_t i = 0; i < n; ++i)
        if (partial[i] != partial[i] || partial[i] < totals[i * stride]) totals[i * stride] = partial[i];
      break;
  }
}

/// Position `index` in the first `count` dimensions, as offsets into x and into the totals.
struct Position {
  Position(const Dimension* list, int count, int64_t index) {
    for (int d = count - 1; d >= 0; --d) {
      const int64_t at = index % list[d].extent;
      index /= list[d].extent;
      x += at * list[d].stride;
      total += at * list[d].total_stride;
    }
  }
  int64_t x = 0, total = 0;
};

int64_t product_of_extents(const Dimension* list, int count) {
  int64_t product = 1;
  for (int d = 0; d < count; ++d) product *= list[d].extent;
  return product;
}

int64_t pieces(int64_t extent, int64_t piece) { return (extent + piece - 1) / piece; }

/// The innermost dimension is reduced: one partial result for each stretch of a row.
void reduce_rows(ReduceOp op, const float* x, const Dimensions& dims, double* totals) {
  const auto row_kernel = cpu::vector::kernels().reduce_row[static_cast<int>(op)];
  const int outer = dims.count - 1;
  const int64_t rows = product_of_extents(dims.list, outer), length = dims.list[outer].extent;
  const int64_t stretches = pieces(length, elements_of_piece), units = rows * stretches;
  Doubles partial(units);
  parallel_for(units, std::max<int64_t>(1, elements_of_piece / length), [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t from = unit % stretches * elements_of_piece;
      const float* row = x + Position(dims.list, outer, unit / stretches).x;
      partial[unit] = row_kernel(row + from, std::min(elements_of_piece, length - from));
    }
  });
  for (int64_t unit = 0; unit < units; ++unit)
    combine(op, &partial[unit], 1, totals + Position(dims.list, outer, unit / stretches).total, 1);
}

/// The innermost dimension is kept: one partial row of results for each stretch of rows.
void reduce_columns(ReduceOp op, const float* x, const Dimensions& dims, double* totals) {
  const auto column_kernel = cpu::vector::kernels().reduce_columns[static_cast<int>(op)];
  const int64_t columns = dims.list[dims.count - 1].extent;
  int outer = dims.count - 1;
  Dimension rows{1, 0, 0};
  if (outer > 0 && dims.list[outer - 1].reduced()) rows = dims.list[--outer];
  const int64_t tile = std::min(columns, piece_columns), tiles = pieces(columns, tile);
  const int64_t stretch = std::max<int64_t>(1, elements_of_piece / tile), stretches = pieces(rows.extent, stretch);
  const int64_t groups = product_of_extents(dims.list, outer) * stretches;
  Doubles partial(groups * columns);
  const int64_t unit_elements = std::min(stretch, rows.extent) * tile;
  parallel_for(groups * tiles, std::max<int64_t>(1, elements_of_piece / unit_elements),
               [&](int64_t begin, int64_t end) {
                 for (int64_t unit = begin; unit < end; ++unit) {
                   const int64_t group = unit / tiles, column = unit % tiles * tile, row = group % stretches * stretch;
                   const float* from = x + Position(dims.list, outer, group / stretches).x + row * rows.stride + column;
                   column_kernel(from, std::min(stretch, rows.extent - row), rows.stride,
                                 std::min(tile, columns - column), &partial[group * columns + column]);
                 }
               });
  for (int64_t group = 0; group < groups; ++group)
    combine(op, &partial[group * columns], columns, totals + Position(dims.list, outer, group / stretches).total,
            dims.list[dims.count - 1].total_stride);
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
  const int64_t results = out.numel();
  Doubles totals(results, neutral(op));
  const auto* from = static_cast<const float*>(x.raw());
  if (dims.list[dims.count - 1].reduced()) {
    reduce_rows(op, from, dims, totals.data());
  } else {
    reduce_columns(op, from, dims, totals.data());
  }
  cpu::write_as_layout(out, Layout::contiguous, [&](Tensor& row_major) {
    auto* to = static_cast<float*>(row_major.raw());
    for (int64_t i = 0; i < results; ++i) to[i] = static_cast<float>(totals[i]);
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
  std::vector<double> partial(static_cast<size_t>(stretches * channels));
  cpu::write_as_layout(gz, Layout::channels_last, [&](Tensor& out) {
    const auto mask = [&]<class T>(void (*kernel)(const T*, const T*, int64_t, int64_t, T*, double*)) {
      parallel_for(stretches, 1, [&](int64_t begin, int64_t end) {
        for (int64_t s = begin; s < end; ++s) {
          const int64_t at = s * stretch * channels;
          kernel(gradient.data<T>() + at, result.data<T>() + at, std::min(stretch, rows - s * stretch), channels,
                 out.data<T>() + at, &partial[static_cast<size_t>(s * channels)]);
        }
      });
    };
    const auto& table = cpu::vector::kernels();
    narrow ? mask(table.mask_columns_bfloat16) : mask(table.mask_columns);
  });
  cpu::write_as_layout(gbias, Layout::contiguous, [&](Tensor& out) {
    for (int64_t c = 0; c < channels; ++c) {
      double total = 0;
      for (int64_t s = 0; s < stretches; ++s) total += partial[static_cast<size_t>(s * channels + c)];
      out.data<float>()[c] = static_cast<float>(total);
    }
  });
}

}  // namespace gradus::kernels
