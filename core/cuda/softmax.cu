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

template <class T>
struct SoftmaxTerm {
  struct Value {
    double largest, sum;  // of exp(x - largest)
  };
  Walk<2> lines;  // x, number
  int64_t stride;
  const T* x;
  bool log;
  Pair* totals;  // the largest and the sum, or its logarithm

  GRADUS_ANYWHERE Value none() const { return {-std::numeric_limits<double>::infinity(), 0}; }
  GRADUS_ANYWHERE int64_t start(int64_t line) const {
    int64_t base[2];
    lines.places(line, base);
    return base[0];
  }
  GRADUS_ANYWHERE T at(int64_t start, int64_t i) const { return x[start + i * stride]; }
  GRADUS_ANYWHERE Value value(int64_t, T loaded) const {
    const double value = wide(loaded);
    const double minus_infinity = -std::numeric_limits<double>::infinity();
    if (value != value) return {minus_infinity, value};
    return {value, value == -minus_infinity ? value - value : 1};  // NaN, as exp(infinity - infinity) is
  }
  GRADUS_ANYWHERE Value combine(const Value& a, const Value& b) const {
    if (a.largest == b.largest) return {a.largest, a.sum + b.sum};
    const bool first = a.largest > b.largest;  // by value: references would put both into memory
    const Value larger = first ? a : b, smaller = first ? b : a;
    return {larger.largest, larger.sum + smaller.sum * std::exp(smaller.largest - larger.largest)};
  }
  GRADUS_ANYWHERE void finish(int64_t line, const Value& total) const {
    int64_t base[2];
    lines.places(line, base);
    totals[base[1]] = {total.largest, log ? std::log(total.sum) : total.sum};
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
    store<double>(y, type, at[0], log ? shifted - total.second : std::exp(shifted) / total.second);
  }
};

template <class T>
struct GradientTerm {
  using Value = double;
  struct Start {
    const T *gy, *y;
  };
  struct Loaded {
    T gy, y = {};
  };
  Walk<3> lines;  // gy, y, number
  int64_t gy_stride, y_stride;
  const T *gy, *y;
  bool log;
  double* totals;

  GRADUS_ANYWHERE double none() const { return 0; }
  GRADUS_ANYWHERE Start start(int64_t line) const {
    int64_t base[3];
    lines.places(line, base);
    return {gy + base[0], y + base[1]};
  }
  GRADUS_ANYWHERE Loaded at(const Start& start, int64_t i) const {
    Loaded term{.gy = start.gy[i * gy_stride]};
    if (!log) term.y = start.y[i * y_stride];
    return term;
  }
  GRADUS_ANYWHERE double value(const Start&, const Loaded& term) const {
    return log ? wide(term.gy) : wide(term.gy) * wide(term.y);
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
  visit_floating(x.dtype(), [&]<class T>(T) {
    reduce_terms(lines.count, l.count, along_lines(lines, x.strides()[dim]),
                 SoftmaxTerm<T>{lines, x.strides()[dim], static_cast<const T*>(x.raw()), log, totals});
  });
  const Walk<3> walk = make_walk<3>(x.shape(), {y.strides(), x.strides(), l.numbers});
  for_each(walk.count, SoftmaxResult{walk, x.raw(), y.raw(), x.dtype(), log, totals});
}

void softmax_backward(const Tensor& gy, const Tensor& y, int dim, bool log, Tensor& gx) {
  if (y.numel() == 0) return;
  const Lines l(y.shape(), dim);
  const Walk<3> lines = make_walk<3>(l.across, {gy.strides(), y.strides(), l.numbers});
  const Storage scratch = Storage::allocate(static_cast<size_t>(lines.count) * sizeof(double));
  auto* totals = static_cast<double*>(scratch.data());
  visit_floating(y.dtype(), [&]<class T>(T) {
    reduce_terms(lines.count, l.count, along_lines(lines, gy.strides()[dim]),
                 GradientTerm<T>{lines, gy.strides()[dim], y.strides()[dim], static_cast<const T*>(gy.raw()),
                                 static_cast<const T*>(y.raw()), log, totals});
  });
  const Walk<4> walk = make_walk<4>(y.shape(), {gx.strides(), gy.strides(), y.strides(), l.numbers});
  for_each(walk.count, Gradient{walk, gy.raw(), y.raw(), gx.raw(), y.dtype(), log, totals});
}

}  // namespace gradus::kernels
