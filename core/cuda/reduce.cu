// Reductions, argmax, and the sums that come with masking by ReLU.
#include <limits>

#include "core/cuda/bias_relu.h"
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

template <class Elements>
struct ReduceTerm {
  using W = typename Elements::Number;
  using Value = W;
  static constexpr int at_once = Elements::at_once;
  ReduceOp op;
  Walk<2> outputs;  // x, out
  Walk<1> terms;    // x
  Elements x;
  void* out;
  DType out_type;
  W divisor;  // of the total

  GRADUS_ANYWHERE W none() const {
    using Limits = std::numeric_limits<W>;
    if (op == ReduceOp::sum) return 0;
    if constexpr (Limits::has_infinity)
      return op == ReduceOp::max ? -Limits::infinity() : Limits::infinity();
    else
      return op == ReduceOp::max ? Limits::min() : Limits::max();
  }
  GRADUS_ANYWHERE int64_t start(int64_t output) const {
    int64_t base[2];
    outputs.places(output, base);
    return base[0];
  }
  GRADUS_ANYWHERE typename Elements::Element at(int64_t start, int64_t i) const {
    int64_t place[1];
    terms.places(i, place);
    return x[start + place[0]];
  }
  GRADUS_ANYWHERE W value(int64_t, typename Elements::Element loaded) const { return wide(loaded); }
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
    store<W>(out, out_type, base[1], value / divisor);
  }
};

template <class Elements>
struct ArgmaxTerm {
  struct Value {
    typename Elements::Number value;
    int64_t index;  // -1: none
  };
  static constexpr int at_once = Elements::at_once;
  Walk<2> outputs;  // x, out
  int64_t stride;
  Elements x;
  int64_t* out;

  GRADUS_ANYWHERE int64_t start(int64_t output) const {
    int64_t base[2];
    outputs.places(output, base);
    return base[0];
  }
  GRADUS_ANYWHERE Value none() const { return {0, -1}; }
  GRADUS_ANYWHERE Value at(int64_t start, int64_t i) const { return {wide(x[start + i * stride]), i}; }
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
  static constexpr int at_once = 1;  // at() writes
  Walk<3> terms;                     // gy, y, gz without channels
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

/// The same where the pixels' channels lie next to each other, `width` neighbouring channels per thread: the block's
/// threads stand in rows, one per pixel, and each block leaves its sums.
template <class T, class W, int width>
struct BiasReluRows {
  struct alignas(width * sizeof(T)) Group {
    T at[width];
  };
  struct Shared {
    double at[threads_per_block][width];
  };
  int groups, rows;  // of a pixel; of the block
  int64_t pixels, piece;
  uint32_t per_image;                // pixels of an image; 0: gy is in one piece
  int64_t gy_image;                  // from image to image, in groups
  int64_t gy_step, y_step, gz_step;  // from pixel to pixel, in groups
  const Group *gy, *y;
  Group* gz;
  double* sums;  // [blocks, channels]

  GRADUS_ANYWHERE int64_t place_of_gradient(uint32_t pixel) const {
    if (per_image == 0) return pixel * gy_step;
    const uint32_t image = pixel / per_image;
    return image * gy_image + (pixel - image * per_image) * gy_step;
  }

  GRADUS_ANYWHERE int phases() const { return 2; }
  GRADUS_ANYWHERE void operator()(int phase, int64_t block, int thread, Shared& shared) const {
    if (phase == 0) {
      if (thread >= rows * groups) return;
      double sum[width] = {};
      const int64_t begin = block * piece, end = begin + piece < pixels ? begin + piece : pixels;
      const int group = thread % groups;
      constexpr int at_once = 4;  // pixels whose loads are under way
      for (int64_t first = begin + thread / groups; first < end; first += at_once * rows) {
        Group from[at_once], of[at_once];
        GRADUS_UNROLL
        for (int p = 0; p < at_once; ++p) {
          const int64_t pixel = first + p * rows < end ? first + p * rows : first;
          from[p] = gy[place_of_gradient(static_cast<uint32_t>(pixel)) + group];
          of[p] = y[pixel * y_step + group];
        }
        GRADUS_UNROLL
        for (int p = 0; p < at_once; ++p) {
          if (first + p * rows >= end) continue;
          Group to;
          GRADUS_UNROLL
          for (int k = 0; k < width; ++k) {
            to.at[k] = static_cast<W>(of[p].at[k]) > 0 ? from[p].at[k] : T(W{0});
            sum[k] += static_cast<double>(static_cast<W>(to.at[k]));
          }
          gz[(first + p * rows) * gz_step + group] = to;
        }
      }
      for (int k = 0; k < width; ++k) shared.at[thread][k] = sum[k];
    } else {
      for (int channel = thread; channel < groups * width; channel += threads_per_block) {
        double sum = 0;
        for (int row = 0; row < rows; ++row) sum += shared.at[row * groups + channel / width][channel % width];
        sums[block * groups * width + channel] = sum;
      }
    }
  }
};

/// A tensor's channels from the sums of blocks.
struct GatherSums {
  using Value = double;
  const double* sums;
  int64_t channels;
  Vector out;
  GRADUS_ANYWHERE double none() const { return 0; }
  GRADUS_ANYWHERE double at(int64_t channel, int64_t i) const { return sums[i * channels + channel]; }
  GRADUS_ANYWHERE double combine(double a, double b) const { return a + b; }
  GRADUS_ANYWHERE void finish(int64_t channel, double sum) const { out.set(channel, sum); }
};

/// Nothing where the tensors do not have the form that it needs: y and gz flat, and gy at least image by image, as a
/// mean over pixels leaves it. Otherwise what is left to do.
template <class T, class W, int width>
std::function<void()> bias_relu_by_rows(const Walk<3>& terms, const Tensor& gy, const Tensor& y, Tensor& gz,
                                        Tensor& gbias) {
  using Rows = BiasReluRows<T, W, width>;
  const int64_t channels = y.shape()[1], pixels = terms.count, groups = channels / width;
  if (pixels == 0 || pixels > 0x7fffffff || terms.rank > 2) return {};
  if (groups == 0 || channels % width != 0 || groups > threads_per_block) return {};
  const int inner = terms.rank - 1;
  const int64_t per_image = terms.extent[inner];
  const Tensor* const tensors[] = {&gy, &y, &gz};
  for (int k = 0; k < 3; ++k) {
    if (tensors[k]->strides()[1] != 1 ||
        reinterpret_cast<uintptr_t>(tensors[k]->raw()) % sizeof(typename Rows::Group) != 0)
      return {};
    for (int d = 0; d < terms.rank; ++d)
      if (terms.stride[k][d] % width != 0) return {};
    if (k > 0 && terms.rank == 2 && terms.stride[k][0] != per_image * terms.stride[k][1]) return {};
  }
  constexpr int64_t pixels_per_thread = 8, most_pieces = 512;  // enough blocks for a GPU, and few sums to add
  const int64_t rows = threads_per_block / groups;
  const int64_t wanted = std::min(most_pieces, (pixels + rows * pixels_per_thread - 1) / (rows * pixels_per_thread));
  const int64_t piece = (pixels + wanted - 1) / wanted, blocks = (pixels + piece - 1) / piece;
  const Storage scratch = Storage::allocate(static_cast<size_t>(blocks * channels) * sizeof(double));
  auto* sums = static_cast<double*>(scratch.data());
  using Group = typename Rows::Group;
  const bool by_image = terms.rank == 2;
  for_each_block(blocks,
                 Rows{static_cast<int>(groups), static_cast<int>(rows), pixels, piece,
                      by_image ? static_cast<uint32_t>(per_image) : 0, by_image ? terms.stride[0][0] / width : 0,
                      terms.stride[0][inner] / width, terms.stride[1][inner] / width, terms.stride[2][inner] / width,
                      static_cast<const Group*>(gy.raw()), static_cast<const Group*>(y.raw()),
                      static_cast<Group*>(gz.raw()), sums});
  return [scratch, channels, blocks, gbias] {
    reduce_at_once(channels, blocks,
                   GatherSums{static_cast<const double*>(scratch.data()), channels, Vector(gbias, 0)});
  };
}

void reduce_and_divide(ReduceOp op, const Tensor& x, int64_t divisor, Tensor& out) {
  const Split split(x.shape(), out.shape());
  const Walk<2> outputs = make_walk<2>(split.kept, {x.strides(), out.strides()});
  const Walk<1> terms = make_walk<1>(split.reduced, {x.strides()});
  visit_elements(x, [&]<class Elements>(const Elements& elements) {
    reduce_terms(outputs.count, terms.count, terms_are_neighbours(outputs, terms),
                 ReduceTerm<Elements>{op, outputs, terms, elements, out.raw(), out.dtype(),
                                      static_cast<typename Elements::Number>(divisor)},
                 x.dtype() == DType::bfloat16 ? neighbours_at_once<bfloat16> : neighbours_at_once<float>);
  });
}

}  // namespace

void reduce(ReduceOp op, const Tensor& x, Tensor& out) { reduce_and_divide(op, x, 1, out); }

void mean(const Tensor& x, Tensor& out) { reduce_and_divide(ReduceOp::sum, x, x.numel() / out.numel(), out); }

void argmax(const Tensor& x, int dim, Tensor& out) {
  Shape kept = x.shape();
  kept[dim] = 1;
  const Walk<2> outputs = make_walk<2>(kept, {x.strides(), out.strides()});
  Walk<1> terms;
  terms.count = x.shape()[dim];
  terms.stride[0][0] = x.strides()[dim];
  visit_elements(x, [&]<class Elements>(const Elements& elements) {
    reduce_terms(outputs.count, terms.count, terms_are_neighbours(outputs, terms),
                 ArgmaxTerm<Elements>{outputs, x.strides()[dim], elements, static_cast<int64_t*>(out.raw())});
  });
}

void bias_relu_backward(const Tensor& gy, const Tensor& y, Tensor& gz, Tensor& gbias) {
  cuda::begin_bias_relu_backward(gy, y, gz, gbias)();
}

}  // namespace gradus::kernels

namespace gradus::cuda {

std::function<void()> begin_bias_relu_backward(const Tensor& gy, const Tensor& y, Tensor& gz, Tensor& gbias) {
  using namespace kernels;
  Shape pixels = y.shape();
  pixels[1] = 1;
  // In the order of y's memory: gy may be a broadcast.
  const Walk<3> by_y = make_walk<3>(pixels, {y.strides(), gy.strides(), gz.strides()});
  Walk<3> terms = by_y;
  for (int d = 0; d < by_y.rank; ++d) terms.stride[0][d] = by_y.stride[1][d], terms.stride[1][d] = by_y.stride[0][d];
  const int64_t channels = y.shape()[1];
  const bool along_terms = channels == 1 || (terms.count > 1 && terms.stride[1][terms.rank - 1] < y.strides()[1]);
  const auto run = [&]<class T, class W>(T, W) -> std::function<void()> {
    if (auto rest = bias_relu_by_rows<T, W, 16 / sizeof(T)>(terms, gy, y, gz, gbias)) return rest;
    if (auto rest = bias_relu_by_rows<T, W, 2>(terms, gy, y, gz, gbias)) return rest;
    reduce_terms(
        channels, terms.count, along_terms,
        BiasReluTerm<T, W>{terms, gy.strides()[1], y.strides()[1], gz.strides()[1], static_cast<const T*>(gy.raw()),
                           static_cast<const T*>(y.raw()), static_cast<T*>(gz.raw()), Vector(gbias, 0)});
    return [] {};
  };
  switch (y.dtype()) {
    case DType::float64: return run(double(), double());
    case DType::bfloat16: return run(bfloat16(), float());
    default: return run(float(), float());
  }
}

}  // namespace gradus::cuda
