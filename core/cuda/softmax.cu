// Softmax and log-softmax: one pass for the largest element and the sum of a line, a second for the results.
#include <limits>

#include "core/cuda/element.h"
#include "core/cuda/reduction.h"
#include "core/cuda/walk.h"
#include "core/kernels.h"

namespace gradus::kernels {
namespace {

using namespace cuda;

/// The lines of x along dim, numbered in row-major order, and x's strides with those numbers in place of memory.
struct Lines {
  Lines(const Shape& shape, int dim) : across(shape), count(shape[dim]) {
    across[dim] = 1;
    numbers = contiguous_strides(across);
    numbers[dim] = 0;
  }
  Shape across;
  Strides numbers;
  int64_t count;
};

struct SoftmaxTerm {
  struct Value {
    double largest, sum;  // of exp(x - largest)
  };
  Walk<2> lines;  // x, number
  int64_t stride;
  const void* x;
  DType type;
  Pair* totals;

  GRADUS_ANYWHERE Value none() const { return {-std::numeric_limits<double>::infinity(), 0}; }
  GRADUS_ANYWHERE Value at(int64_t line, int64_t i) const {
    int64_t base[2];
    lines.places(line, base);
    const auto value = load<double>(x, type, base[0] + i * stride);
    const double minus_infinity = -std::numeric_limits<double>::infinity();
    if (value != value) return {minus_infinity, value};
    return {value, value == -minus_infinity ? value - value : 1};  // NaN, as exp(infinity - infinity) is
  }
  GRADUS_ANYWHERE Value combine(const Value& a, const Value& b) const {
    if (a.largest == b.largest) return {a.largest, a.sum + b.sum};
    const Value &larger = a.largest > b.largest ? a : b, &smaller = a.largest > b.largest ? b : a;
    return {larger.largest, larger.sum + smaller.sum * std::exp(smaller.largest - larger.largest)};
  }
  GRADUS_ANYWHERE void finish(int64_t line, const Value& total) const {
    int64_t base[2];
    lines.places(line, base);
    totals[base[1]] = {total.largest, total.sum};
  }
};

struct SoftmaxResult {
  Walk<3> walk;  // y, x, line
  const void* x;
  void* y;
  DType type;
  bool log;
  const Pair* totals;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[3];
    walk.places(i, at);
    const Pair total = totals[at[2]];
    const double shifted = load<double>(x, type, at[1]) - total.first;
    store<double>(y, type, at[0], log ? shifted - std::log(total.second) : std::exp(shifted) / total.second);
  }
};

struct GradientTerm {
  using Value = double;
  Walk<3> lines;  // gy, y, number
  int64_t gy_stride, y_stride;
  const void *gy, *y;
  DType type;
  bool log;
  double* totals;

  GRADUS_ANYWHERE double none() const { return 0; }
  GRADUS_ANYWHERE double at(int64_t line, int64_t i) const {
    int64_t base[3];
    lines.places(line, base);
    const auto g = load<double>(gy, type, base[0] + i * gy_stride);
    return log ? g : g * load<double>(y, type, base[1] + i * y_stride);
  }
  GRADUS_ANYWHERE double combine(double a, double b) const { return a + b; }
  GRADUS_ANYWHERE void finish(int64_t line, double sum) const {
    int64_t base[3];
    lines.places(line, base);
    totals[base[2]] = sum;
  }
};

struct Gradient {
  Walk<4> walk;  // gx, gy, y, line
  const void *gy, *y;
  void* gx;
  DType type;
  bool log;
  const double* totals;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[4];
    walk.places(i, at);
    const auto g = load<double>(gy, type, at[1]), o = load<double>(y, type, at[2]);
    const double sum = totals[at[3]];
    store<double>(gx, type, at[0], log ? g - std::exp(o) * sum : o * (g - sum));
  }
};

/// Whether neighbours in memory belong to one line.
template <int N>
bool along_lines(const Walk<N>& lines, int64_t stride) {
  return lines.count == 1 || stride < lines.stride[0][lines.rank - 1];
}

}  // namespace

void softmax(const Tensor& x, int dim, bool log, Tensor& y) {
  if (x.numel() == 0) return;
  const Lines l(x.shape(), dim);
  const Walk<2> lines = make_walk<2>(l.across, {x.strides(), l.numbers});
  const Storage scratch = Storage::allocate(static_cast<size_t>(lines.count) * sizeof(Pair));
  auto* totals = static_cast<Pair*>(scratch.data());
  reduce_terms(lines.count, l.count, along_lines(lines, x.strides()[dim]),
               SoftmaxTerm{lines, x.strides()[dim], x.raw(), x.dtype(), totals});
  const Walk<3> walk = make_walk<3>(x.shape(), {y.strides(), x.strides(), l.numbers});
  for_each(walk.count, SoftmaxResult{walk, x.raw(), y.raw(), x.dtype(), log, totals});
}

void softmax_backward(const Tensor& gy, const Tensor& y, int dim, bool log, Tensor& gx) {
  if (y.numel() == 0) return;
  const Lines l(y.shape(), dim);
  const Walk<3> lines = make_walk<3>(l.across, {gy.strides(), y.strides(), l.numbers});
  const Storage scratch = Storage::allocate(static_cast<size_t>(lines.count) * sizeof(double));
  auto* totals = static_cast<double*>(scratch.data());
  reduce_terms(lines.count, l.count, along_lines(lines, gy.strides()[dim]),
               GradientTerm{lines, gy.strides()[dim], y.strides()[dim], gy.raw(), y.raw(), y.dtype(), log, totals});
  const Walk<4> walk = make_walk<4>(y.shape(), {gx.strides(), gy.strides(), y.strides(), l.numbers});
  for_each(walk.count, Gradient{walk, gy.raw(), y.raw(), gx.raw(), y.dtype(), log, totals});
}

}  // namespace gradus::kernels
