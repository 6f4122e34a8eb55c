// Reductions, argmax, and the sums that come with masking by ReLU.
#include <limits>

#include "core/cuda/element.h"
#include "core/cuda/functions.h"
#include "core/cuda/reduction.h"
#include "core/cuda/walk.h"
#include "core/kernels.h"

namespace gradus::kernels {
namespace {

using namespace cuda;

/// x's dimensions in two parts: those that out keeps, and those that are reduced.
struct Split {
  Split(const Shape& x, const Shape& out) {
    kept = reduced = x;
    for (int d = 0; d < x.rank(); ++d) (out[d] == 1 ? kept : reduced)[d] = 1;
  }
  Shape kept, reduced;
};

/// Whether the elements that lie next to each other in memory are terms of one output.
template <int N>
bool terms_are_neighbours(const Walk<N>& outputs, const Walk<1>& terms) {
  if (terms.count == 1 || outputs.count == 1) return outputs.count == 1;
  return terms.stride[0][terms.rank - 1] < outputs.stride[0][outputs.rank - 1];
}

template <class W>
struct ReduceTerm {
  using Value = W;
  ReduceOp op;
  Walk<2> outputs;  // x, out
  Walk<1> terms;    // x
  const void* x;
  void* out;
  DType type;

  GRADUS_ANYWHERE W none() const {
    using Limits = std::numeric_limits<W>;
    if (op == ReduceOp::sum) return 0;
    if constexpr (Limits::has_infinity)
      return op == ReduceOp::max ? -Limits::infinity() : Limits::infinity();
    else
      return op == ReduceOp::max ? Limits::min() : Limits::max();
  }
  GRADUS_ANYWHERE W at(int64_t output, int64_t i) const {
    int64_t base[2], place[1];
    outputs.places(output, base);
    terms.places(i, place);
    return load<W>(x, type, base[0] + place[0]);
  }
  GRADUS_ANYWHERE W combine(W a, W b) const {
    switch (op) {
      case ReduceOp::sum:
        if constexpr (std::is_integral_v<W>)
          return static_cast<W>(bits_of(a) + bits_of(b));
        else
          return a + b;
      case ReduceOp::max: return maximum_of(a, b);
      case ReduceOp::min: return minimum_of(a, b);
    }
    return a;
  }
  GRADUS_ANYWHERE void finish(int64_t output, W value) const {
    int64_t base[2];
    outputs.places(output, base);
    store<W>(out, type, base[1], value);
  }
};

template <class W>
struct ArgmaxTerm {
  struct Value {
    W value;
    int64_t index;  // -1: none
  };
  Walk<2> outputs;  // x, out
  int64_t stride;
  const void* x;
  int64_t* out;
  DType type;

  GRADUS_ANYWHERE Value none() const { return {W{0}, -1}; }
  GRADUS_ANYWHERE Value at(int64_t output, int64_t i) const {
    int64_t base[2];
    outputs.places(output, base);
    return {load<W>(x, type, base[0] + i * stride), i};
  }
  /// The larger, NaN being the largest of all; the first of equals.
  GRADUS_ANYWHERE Value combine(const Value& a, const Value& b) const {
    if (a.index < 0) return b;
    if (b.index < 0) return a;
    const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    if (a_nan != b_nan) return a_nan ? a : b;
    if (!a_nan && a.value != b.value) return a.value > b.value ? a : b;
    return a.index < b.index ? a : b;
  }
  GRADUS_ANYWHERE void finish(int64_t output, const Value& value) const {
    int64_t base[2];
    outputs.places(output, base);
    out[base[1]] = value.index;
  }
};

template <class T, class W>
struct BiasReluTerm {
  using Value = double;
  Walk<3> terms;  // gy, y, gz without channels
  int64_t gy_stride, y_stride, gz_stride;
  const T *gy, *y;
  T* gz;
  Vector gbias;

  GRADUS_ANYWHERE double none() const { return 0; }
  GRADUS_ANYWHERE double at(int64_t channel, int64_t i) const {
    int64_t place[3];
    terms.places(i, place);
    const bool passes = static_cast<W>(y[place[1] + channel * y_stride]) > 0;
    const T kept = passes ? gy[place[0] + channel * gy_stride] : T(W{0});
    gz[place[2] + channel * gz_stride] = kept;
    return static_cast<double>(static_cast<W>(kept));
  }
  GRADUS_ANYWHERE double combine(double a, double b) const { return a + b; }
  GRADUS_ANYWHERE void finish(int64_t channel, double sum) const { gbias.set(channel, sum); }
};

/// W: what sums and comparisons are made in.
template <class Body>
void visit_wide(DType dtype, Body&& body) {
  if (is_floating(dtype)) return body(double());
  return body(int64_t());
}

}  // namespace

void reduce(ReduceOp op, const Tensor& x, Tensor& out) {
  const Split split(x.shape(), out.shape());
  const Walk<2> outputs = make_walk<2>(split.kept, {x.strides(), out.strides()});
  const Walk<1> terms = make_walk<1>(split.reduced, {x.strides()});
  visit_wide(x.dtype(), [&]<class W>(W) {
    reduce_terms(outputs.count, terms.count, terms_are_neighbours(outputs, terms),
                 ReduceTerm<W>{op, outputs, terms, x.raw(), out.raw(), x.dtype()});
  });
}

void argmax(const Tensor& x, int dim, Tensor& out) {
  Shape kept = x.shape();
  kept[dim] = 1;
  const Walk<2> outputs = make_walk<2>(kept, {x.strides(), out.strides()});
  Walk<1> terms;
  terms.count = x.shape()[dim];
  terms.stride[0][0] = x.strides()[dim];
  visit_wide(x.dtype(), [&]<class W>(W) {
    reduce_terms(outputs.count, terms.count, terms_are_neighbours(outputs, terms),
                 ArgmaxTerm<W>{outputs, x.strides()[dim], x.raw(), static_cast<int64_t*>(out.raw()), x.dtype()});
  });
}

void bias_relu_backward(const Tensor& gy, const Tensor& y, Tensor& gz, Tensor& gbias) {
  Shape pixels = y.shape();
  pixels[1] = 1;
  const Walk<3> terms = make_walk<3>(pixels, {gy.strides(), y.strides(), gz.strides()});
  const int64_t channels = y.shape()[1];
  const bool along_terms = channels == 1 || (terms.count > 1 && terms.stride[0][terms.rank - 1] < gy.strides()[1]);
  const auto run = [&]<class T, class W>(T, W) {
    reduce_terms(channels, terms.count, along_terms,
                 BiasReluTerm<T, W>{terms, gy.strides()[1], y.strides()[1], gz.strides()[1],
                                    static_cast<const T*>(gy.raw()), static_cast<const T*>(y.raw()),
                                    static_cast<T*>(gz.raw()), Vector(gbias, 0)});
  };
  switch (y.dtype()) {
    case DType::float64: return run(double(), double());
    case DType::bfloat16: return run(bfloat16(), float());
    default: return run(float(), float());
  }
}

}  // namespace gradus::kernels
