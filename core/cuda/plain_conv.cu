#include "core/cuda/plain_conv.h"

#include <cmath>

#include "core/cuda/element.h"
#include "core/cuda/reduction.h"
#include "core/cuda/walk.h"
#include "core/ops.h"

namespace gradus::cuda {
namespace {

struct PlainConv {
  ConvPass pass;
  Places x, w, y;
  Vector bias;
  bool relu;
  Conv2dSpec spec;

  GRADUS_ANYWHERE const Places& output() const {
    return pass == ConvPass::forward ? y : pass == ConvPass::grad_input ? x : w;
  }

  /// Where output pixel o's window has tap k; may lie outside.
  GRADUS_ANYWHERE int64_t input_of(int64_t o, int64_t k, int d) const {
    return o * spec.stride[d] - spec.padding[d] + k * spec.dilation[d];
  }
  /// The output pixel whose window has input pixel i at tap k, or -1.
  GRADUS_ANYWHERE int64_t output_of(int64_t i, int64_t k, int d) const {
    const int64_t from = i + spec.padding[d] - k * spec.dilation[d];
    const int64_t o = from / spec.stride[d];
    return from >= 0 && o * spec.stride[d] == from && o < y.extent[2 + d] ? o : -1;
  }

  GRADUS_ANYWHERE double forward(int64_t n, int64_t o, int64_t oh, int64_t ow) const {
    const int64_t group_in = w.extent[1], first = o / (w.extent[0] / spec.groups) * group_in;
    double sum = 0;
    for (int64_t kh = 0; kh < w.extent[2]; ++kh) {
      const int64_t h = input_of(oh, kh, 0);
      if (h < 0 || h >= x.extent[2]) continue;
      for (int64_t kw = 0; kw < w.extent[3]; ++kw) {
        const int64_t v = input_of(ow, kw, 1);
        if (v < 0 || v >= x.extent[3]) continue;
        for (int64_t i = 0; i < group_in; ++i) sum += x.at(n, first + i, h, v) * w.at(o, i, kh, kw);
      }
    }
    sum += bias[o];
    return relu && sum < 0 ? 0 : sum;
  }

  GRADUS_ANYWHERE double grad_input(int64_t n, int64_t c, int64_t h, int64_t v) const {
    const int64_t group_out = w.extent[0] / spec.groups, first = c / w.extent[1] * group_out, i = c % w.extent[1];
    double sum = 0;
    for (int64_t kh = 0; kh < w.extent[2]; ++kh) {
      const int64_t oh = output_of(h, kh, 0);
      if (oh < 0) continue;
      for (int64_t kw = 0; kw < w.extent[3]; ++kw) {
        const int64_t ow = output_of(v, kw, 1);
        if (ow < 0) continue;
        for (int64_t o = first; o < first + group_out; ++o) sum += y.at(n, o, oh, ow) * w.at(o, i, kh, kw);
      }
    }
    return sum;
  }

  GRADUS_ANYWHERE double grad_weight(int64_t o, int64_t i, int64_t kh, int64_t kw) const {
    double sum = 0;
    for (int64_t n = 0; n < y.extent[0]; ++n) sum += grad_weight_of_image(n, o, i, kh, kw);
    return sum;
  }
  GRADUS_ANYWHERE double grad_weight_of_image(int64_t n, int64_t o, int64_t i, int64_t kh, int64_t kw) const {
    const int64_t c = o / (w.extent[0] / spec.groups) * w.extent[1] + i;
    double sum = 0;
    for (int64_t oh = 0; oh < y.extent[2]; ++oh) {
      const int64_t h = input_of(oh, kh, 0);
      if (h < 0 || h >= x.extent[2]) continue;
      for (int64_t ow = 0; ow < y.extent[3]; ++ow) {
        const int64_t v = input_of(ow, kw, 1);
        if (v >= 0 && v < x.extent[3]) sum += y.at(n, o, oh, ow) * x.at(n, c, h, v);
      }
    }
    return sum;
  }

  struct Index {
    int64_t a, b, c, d;
  };
  /// Of the output's element with this number: channels first, neighbours in memory.
  GRADUS_ANYWHERE Index index(int64_t number) const {
    const Places& out = output();
    const int64_t rest = number / out.extent[1];
    return {rest / out.extent[3] / out.extent[2], number % out.extent[1], rest / out.extent[3] % out.extent[2],
            rest % out.extent[3]};
  }
  GRADUS_ANYWHERE int64_t place(const Index& at) const { return output().place(at.a, at.b, at.c, at.d); }

  GRADUS_ANYWHERE double value(const Index& at) const {
    switch (pass) {
      case ConvPass::forward: return forward(at.a, at.b, at.c, at.d);
      case ConvPass::grad_input: return grad_input(at.a, at.b, at.c, at.d);
      case ConvPass::grad_weight: break;
    }
    return grad_weight(at.a, at.b, at.c, at.d);
  }

  GRADUS_ANYWHERE void operator()(int64_t number) const {
    const Index at = index(number);
    store<double>(output().data, output().type, place(at), value(at));
  }
};

PlainConv make_plain(ConvPass pass, const ConvOperands& o, const Conv2dSpec& spec) {
  return {pass, Places(o.x), Places(o.w), Places(o.y), Vector(o.bias, 0), o.relu, spec};
}

struct AddBiasRelu {
  Walk<2> walk;  // y, channel
  void* y;
  DType type;
  Vector bias;
  bool relu;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[2];
    walk.places(i, at);
    const float sum = load<float>(y, type, at[0]) + static_cast<float>(bias[at[1]]);
    store<float>(y, type, at[0], relu && sum < 0 ? 0.0f : sum);
  }
};

/// The images' shares of the weight's gradient at every step-th element: its sums are long.
struct Shares {
  PlainConv conv;
  int64_t step;
  double* shares;  // [elements, images]
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    const int64_t images = conv.y.extent[0], element = i / images;
    const PlainConv::Index at = conv.index(element * step);
    shares[i] = conv.grad_weight_of_image(i - element * images, at.a, at.b, at.c, at.d);
  }
};

/// Squares of the distances from the plain sums, and of those themselves, at every step-th element.
struct Distances {
  PlainConv conv;
  int64_t step;
  const double* shares;  // of the sums; null: there are none
  Pair* squares;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    const PlainConv::Index at = conv.index(i * step);
    const int64_t images = conv.y.extent[0];
    double expected = 0;
    if (shares)
      for (int64_t n = 0; n < images; ++n) expected += shares[i * images + n];
    else
      expected = conv.value(at);
    const double d = load<double>(conv.output().data, conv.output().type, conv.place(at)) - expected;
    squares[i] = {d * d, expected * expected};
  }
};

struct SumOfPairs {
  using Value = Pair;
  const Pair* pairs;
  Pair* total;
  GRADUS_ANYWHERE Pair none() const { return {0, 0}; }
  GRADUS_ANYWHERE Pair at(int64_t, int64_t i) const { return pairs[i]; }
  GRADUS_ANYWHERE Pair combine(const Pair& a, const Pair& b) const { return a + b; }
  GRADUS_ANYWHERE void finish(int64_t, const Pair& value) const { *total = value; }
};

}  // namespace

void plain_conv(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec) {
  for_each(output_of(pass, operands).numel(), make_plain(pass, operands, spec));
}

void add_bias_relu(const Tensor& bias, bool relu, Tensor& y) {
  const Walk<2> walk = make_walk<2>(y.shape(), {y.strides(), Strides{0, 1, 0, 0}});
  for_each(walk.count, AddBiasRelu{walk, y.raw(), y.dtype(), Vector(bias, 0), relu});
}

double relative_error(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec) {
  constexpr int64_t most_products = int64_t{1} << 31, most_elements = int64_t{1} << 16;
  const Tensor& out = output_of(pass, operands);
  if (out.numel() == 0) return 0;
  if (!all_finite(out)) return std::nan("");
  const Shape &w = operands.w.shape(), &y = operands.y.shape();
  const int64_t terms = pass == ConvPass::grad_weight  ? y[0] * y[2] * y[3]
                        : pass == ConvPass::grad_input ? w[0] / spec.groups * w[2] * w[3]
                                                       : w[1] * w[2] * w[3];
  const int64_t wanted = std::max<int64_t>(1, std::min(most_elements, most_products / std::max<int64_t>(terms, 1)));
  // An odd step meets every residue of the extents' powers of two.
  const int64_t step = (out.numel() + wanted - 1) / wanted | 1, count = (out.numel() + step - 1) / step;
  const Storage scratch = Storage::allocate(static_cast<size_t>(count + 1) * sizeof(Pair));
  auto* pairs = static_cast<Pair*>(scratch.data());
  const PlainConv plain = make_plain(pass, operands, spec);
  Storage of_images;
  if (pass == ConvPass::grad_weight) {
    of_images = Storage::allocate(static_cast<size_t>(count * y[0]) * sizeof(double));
    for_each(count * y[0], Shares{plain, step, static_cast<double*>(of_images.data())});
  }
  for_each(count, Distances{plain, step, static_cast<const double*>(of_images.data()), pairs + 1});
  reduce_terms(1, count, true, SumOfPairs{pairs + 1, pairs});
  Pair total{};
  device::download(&total, pairs, sizeof total);
  return total.second > 0 ? std::sqrt(total.first / total.second) : std::sqrt(total.first);
}

}  // namespace gradus::cuda
