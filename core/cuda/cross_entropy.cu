// Cross-entropy of logits and labels: one pass over each row, and one over all elements for the gradient.
#include <limits>

#include "core/cuda/element.h"
#include "core/cuda/reduction.h"
#include "core/kernels.h"

namespace gradus::kernels {
namespace {

using namespace cuda;

/// Logits [N, K] and labels [N].
template <class T>
struct Problem {
  Problem(const Tensor& logits, const Tensor& given, double s)
      : x(static_cast<const T*>(logits.raw())),
        row(logits.strides()[0]),
        column(logits.strides()[1]),
        classes(logits.shape()[1]),
        labels(given, 0),
        smoothing(s) {}
  GRADUS_ANYWHERE double at(int64_t n, int64_t k) const { return wide(x[n * row + k * column]); }
  GRADUS_ANYWHERE int64_t label(int64_t n) const { return static_cast<int64_t>(labels[n]); }

  const T* x;
  int64_t row, column, classes;
  Vector labels;
  double smoothing;
};

template <class T>
struct LossTerm {
  struct Value {
    double largest, sum, below, count;  // sum of exp(x - largest), of x - largest
  };
  Problem<T> problem;
  Vector losses;
  double* normalizers;

  GRADUS_ANYWHERE Value none() const { return {-std::numeric_limits<double>::infinity(), 0, 0, 0}; }
  GRADUS_ANYWHERE T at(int64_t n, int64_t k) const { return problem.x[n * problem.row + k * problem.column]; }
  GRADUS_ANYWHERE Value value(int64_t, T loaded) const {
    const double x = wide(loaded), infinity = std::numeric_limits<double>::infinity();
    if (x != x) return {-infinity, x, x, 1};
    return {x, x == infinity ? x - x : 1, 0, 1};  // NaN, as exp(infinity - infinity) is
  }
  GRADUS_ANYWHERE Value combine(const Value& a, const Value& b) const {
    if (a.count == 0 || b.count == 0) return a.count == 0 ? b : a;
    const double count = a.count + b.count;
    if (a.largest == b.largest) return {a.largest, a.sum + b.sum, a.below + b.below, count};
    const bool first = a.largest > b.largest;  // by value: references would put both into memory
    const Value larger = first ? a : b, smaller = first ? b : a;
    const double step = smaller.largest - larger.largest;
    return {larger.largest, larger.sum + smaller.sum * std::exp(step),
            larger.below + smaller.below + smaller.count * step, count};
  }
  GRADUS_ANYWHERE void finish(int64_t n, const Value& value) const {
    const double log_sum = std::log(value.sum);
    double loss = log_sum - (1 - problem.smoothing) * (problem.at(n, problem.label(n)) - value.largest);
    if (problem.smoothing > 0) loss -= problem.smoothing * value.below / static_cast<double>(problem.classes);
    losses.set(n, loss);
    normalizers[2 * n] = value.largest;
    normalizers[2 * n + 1] = log_sum;
  }
};

template <class T>
struct Gradient {
  Problem<T> problem;
  Vector gy;
  const double* normalizers;
  double share;
  T* gx;
  int64_t row, column;  // strides of gx
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    const int64_t n = i / problem.classes, k = i % problem.classes;
    const double target =
        problem.smoothing / static_cast<double>(problem.classes) + (k == problem.label(n) ? 1 - problem.smoothing : 0);
    const double slope = std::exp((problem.at(n, k) - normalizers[2 * n]) - normalizers[2 * n + 1]) - target;
    gx[n * row + k * column] = ref::narrow<T>(share * gy[n] * slope);
  }
};

}  // namespace

void cross_entropy(const Tensor& x, const Tensor& labels, double smoothing, Tensor& losses, Tensor& normalizers) {
  const bool along_rows = x.strides()[1] <= x.strides()[0];
  visit_floating(x.dtype(), [&]<class T>(T) {
    reduce_terms(x.shape()[0], x.shape()[1], along_rows,
                 LossTerm<T>{Problem<T>(x, labels, smoothing), Vector(losses, 0), normalizers.data<double>()});
  });
}

void cross_entropy_backward(const Tensor& gy, const Tensor& x, const Tensor& labels, const Tensor& normalizers,
                            double smoothing, double share, Tensor& gx) {
  visit_floating(x.dtype(), [&]<class T>(T) {
    for_each(x.numel(), Gradient<T>{Problem<T>(x, labels, smoothing), Vector(gy, 0), normalizers.data<double>(), share,
                                    static_cast<T*>(gx.raw()), gx.strides()[0], gx.strides()[1]});
  });
}

}  // namespace gradus::kernels
