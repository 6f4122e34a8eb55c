// Reference normalizations. Batch, layer and group norm are one computation over groups of elements (a channel, a row,
// some channels of an image); they differ in how a group is walked and in whether weight and bias belong to the group
// or to the element in it.
#include <vector>

#include "core/kernels.h"
#include "core/ref/loops.h"
#include "core/ref/widened.h"

namespace gradus::ref {
namespace {

/// One-dimensional access to an optional vector such as weight [C].
template <class T>
double entry(const Tensor& vector, int64_t i, double otherwise) {
  return vector.defined() ? static_cast<double>(pointer<T>(vector)[i * vector.strides()[0]]) : otherwise;
}
template <class T>
void set_entry(Tensor& vector, int64_t i, double value) {
  pointer<T>(vector)[i * vector.strides()[0]] = static_cast<T>(value);
}

struct Moments {
  double mean, variance;
};

/// Mean and biased variance of the elements of x at the given offset, in two passes.
template <class T>
Moments moments(const T* x, const Shape& shape, const Strides& strides) {
  const auto count = static_cast<double>(numel(shape));
  double sum = 0, squares = 0;
  for_each_element<1>(shape, {strides}, [&](const Offsets<1>& at) { sum += x[at[0]]; });
  const double mean = sum / count;
  for_each_element<1>(shape, {strides},
                      [&](const Offsets<1>& at) { squares += (x[at[0]] - mean) * (x[at[0]] - mean); });
  return {mean, squares / count};
}

}  // namespace

// ---- Batch norm: a group is a channel ------------------------------------------------------------------------------

void batch_norm_train(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                      Tensor& rstd) {
  if (is_bfloat16(x))
    return batch_norm_train(widened(x), widened(weight), widened(bias), eps, Narrowed(y), Narrowed(mean),
                            Narrowed(rstd));
  visit_floating("batch_norm", x.dtype(), [&]<class T>(T) {
    for (int64_t c = 0; c < x.shape()[1]; ++c) {
      const Moments m = moments(pointer<T>(x) + c * x.strides()[1], without(x.shape(), 1), without(x.strides(), 1));
      set_entry<T>(mean, c, m.mean);
      set_entry<T>(rstd, c, 1 / std::sqrt(m.variance + eps));
    }
  });
  batch_norm_apply(x, weight, bias, mean, rstd, y);
}

void batch_norm_apply(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& rstd,
                      Tensor& y) {
  if (is_bfloat16(x))
    return batch_norm_apply(widened(x), widened(weight), widened(bias), widened(mean), widened(rstd), Narrowed(y));
  visit_floating("batch_norm", x.dtype(), [&]<class T>(T) {
    for (int64_t c = 0; c < x.shape()[1]; ++c) {
      const T* from = pointer<T>(x) + c * x.strides()[1];
      T* to = pointer<T>(y) + c * y.strides()[1];
      const double center = entry<T>(mean, c, 0), shift = entry<T>(bias, c, 0);
      const double scale = entry<T>(rstd, c, 1) * entry<T>(weight, c, 1);
      for_each_element<2>(
          without(x.shape(), 1), {without(x.strides(), 1), without(y.strides(), 1)},
          [&](const Offsets<2>& at) { to[at[1]] = static_cast<T>((from[at[0]] - center) * scale + shift); });
    }
  });
}

void batch_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                         const Tensor& rstd, Tensor& gx, Tensor& gweight, Tensor& gbias) {
  if (is_bfloat16(x))
    return batch_norm_backward(widened(gy), widened(x), widened(weight), widened(mean), widened(rstd), Narrowed(gx),
                               Narrowed(gweight), Narrowed(gbias));
  visit_floating("batch_norm_backward", x.dtype(), [&]<class T>(T) {
    const Shape shape = without(x.shape(), 1);
    const std::array<Strides, 3> strides = {without(gy.strides(), 1), without(x.strides(), 1),
                                            without(gx.strides(), 1)};
    const auto count = static_cast<double>(numel(shape));
    for (int64_t c = 0; c < x.shape()[1]; ++c) {
      const T* grad = pointer<T>(gy) + c * gy.strides()[1];
      const T* from = pointer<T>(x) + c * x.strides()[1];
      T* to = pointer<T>(gx) + c * gx.strides()[1];
      const double center = entry<T>(mean, c, 0), scale = entry<T>(rstd, c, 1), gain = entry<T>(weight, c, 1);
      double sum = 0, product = 0;  // of gy, and of gy times the normalized x
      for_each_element<3>(shape, strides, [&](const Offsets<3>& at) {
        sum += grad[at[0]];
        product += grad[at[0]] * (from[at[1]] - center) * scale;
      });
      set_entry<T>(gbias, c, sum);
      set_entry<T>(gweight, c, product);
      for_each_element<3>(shape, strides, [&](const Offsets<3>& at) {
        const double normalized = (from[at[1]] - center) * scale;
        to[at[2]] = static_cast<T>(gain * scale * (grad[at[0]] - sum / count - normalized * product / count));
      });
    }
  });
}

// ---- Layer norm: a group is a row ----------------------------------------------------------------------------------

void layer_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                        Tensor& rstd) {
  visit_floating("layer_norm", x.dtype(), [&]<class T>(T) {
    const int64_t columns = x.shape()[1], x_step = x.strides()[1], y_step = y.strides()[1];
    for (int64_t r = 0; r < x.shape()[0]; ++r) {
      const T* from = pointer<T>(x) + r * x.strides()[0];
      T* to = pointer<T>(y) + r * y.strides()[0];
      const Moments m = moments(from, without(x.shape(), 0), without(x.strides(), 0));
      const double scale = 1 / std::sqrt(m.variance + eps);
      set_entry<T>(mean, r, m.mean);
      set_entry<T>(rstd, r, scale);
      for (int64_t i = 0; i < columns; ++i)
        to[i * y_step] =
            static_cast<T>((from[i * x_step] - m.mean) * scale * entry<T>(weight, i, 1) + entry<T>(bias, i, 0));
    }
  });
}

void layer_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                         const Tensor& rstd, Tensor& gx, Tensor& gweight, Tensor& gbias) {
  visit_floating("layer_norm_backward", x.dtype(), [&]<class T>(T) {
    const int64_t rows = x.shape()[0], columns = x.shape()[1];
    const auto count = static_cast<double>(columns);
    std::vector<double> weight_sums(static_cast<size_t>(columns), 0.0), bias_sums(static_cast<size_t>(columns), 0.0);
    for (int64_t r = 0; r < rows; ++r) {
      const T* grad = pointer<T>(gy) + r * gy.strides()[0];
      const T* from = pointer<T>(x) + r * x.strides()[0];
      T* to = pointer<T>(gx) + r * gx.strides()[0];
      const double center = entry<T>(mean, r, 0), scale = entry<T>(rstd, r, 1);
      double sum = 0, product = 0;  // of weight * gy, and of that times the normalized x
      for (int64_t i = 0; i < columns; ++i) {
        const double g = grad[i * gy.strides()[1]];
        const double normalized = (from[i * x.strides()[1]] - center) * scale;
        bias_sums[i] += g;
        weight_sums[i] += g * normalized;
        sum += g * entry<T>(weight, i, 1);
        product += g * entry<T>(weight, i, 1) * normalized;
      }
      for (int64_t i = 0; i < columns; ++i) {
        const double g = grad[i * gy.strides()[1]] * entry<T>(weight, i, 1);
        const double normalized = (from[i * x.strides()[1]] - center) * scale;
        to[i * gx.strides()[1]] = static_cast<T>(scale * (g - sum / count - normalized * product / count));
      }
    }
    for (int64_t i = 0; i < columns; ++i) {
      set_entry<T>(gweight, i, weight_sums[i]);
      set_entry<T>(gbias, i, bias_sums[i]);
    }
  });
}

// ---- Group norm: a group is some channels of an image --------------------------------------------------------------

namespace {

/// Where the groups of x [N, C, ...] lie, whose statistics are [N, G].
struct ChannelGroups {
  ChannelGroups(const Tensor& x, const Tensor& statistics)
      : images(x.shape()[0]),
        groups(statistics.shape()[1]),
        channels(x.shape()[1] / groups),
        group(without(x.shape(), 0)),
        pixels(without(group, 0)) {
    group[0] = channels;
  }
  /// The first element of channel c of an image.
  template <class T>
  static T* at(const Tensor& t, int64_t n, int64_t c) {
    return pointer<T>(t) + n * t.strides()[0] + c * t.strides()[1];
  }
  static Strides pixel_strides(const Tensor& t) { return without(without(t.strides(), 0), 0); }

  int64_t images, groups, channels;  ///< channels of a group
  Shape group, pixels;               ///< [C / G, ...] and what follows it
};

}  // namespace

void group_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                        Tensor& rstd) {
  visit_floating("group_norm", x.dtype(), [&]<class T>(T) {
    const ChannelGroups in(x, mean);
    const std::array<Strides, 2> strides = {in.pixel_strides(x), in.pixel_strides(y)};
    for (int64_t n = 0; n < in.images; ++n) {
      for (int64_t g = 0; g < in.groups; ++g) {
        const Moments m = moments(in.at<T>(x, n, g * in.channels), in.group, without(x.strides(), 0));
        const double scale = 1 / std::sqrt(m.variance + eps);
        *in.at<T>(mean, n, g) = static_cast<T>(m.mean);
        *in.at<T>(rstd, n, g) = static_cast<T>(scale);
        for (int64_t c = g * in.channels; c < (g + 1) * in.channels; ++c) {
          const T* from = in.at<T>(x, n, c);
          T* to = in.at<T>(y, n, c);
          const double gain = scale * entry<T>(weight, c, 1), shift = entry<T>(bias, c, 0);
          for_each_element<2>(in.pixels, strides, [&](const Offsets<2>& at) {
            to[at[1]] = static_cast<T>((from[at[0]] - m.mean) * gain + shift);
          });
        }
      }
    }
  });
}

void group_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                         const Tensor& rstd, Tensor& gx, Tensor& gweight, Tensor& gbias) {
  visit_floating("group_norm_backward", x.dtype(), [&]<class T>(T) {
    const ChannelGroups in(x, mean);
    const std::array<Strides, 3> strides = {in.pixel_strides(gy), in.pixel_strides(x), in.pixel_strides(gx)};
    const auto count = static_cast<double>(numel(in.group));
    std::vector<double> weight_sums(static_cast<size_t>(x.shape()[1]), 0.0), bias_sums(weight_sums);
    for (int64_t n = 0; n < in.images; ++n) {
      for (int64_t g = 0; g < in.groups; ++g) {
        const double center = *in.at<T>(mean, n, g), scale = *in.at<T>(rstd, n, g);
        // body(channel, gy, the normalized x, gx) for every element of the group
        const auto for_each = [&](const auto& body) {
          for (int64_t c = g * in.channels; c < (g + 1) * in.channels; ++c) {
            const T *grad = in.at<T>(gy, n, c), *from = in.at<T>(x, n, c);
            T* to = in.at<T>(gx, n, c);
            for_each_element<3>(in.pixels, strides, [&](const Offsets<3>& at) {
              body(c, static_cast<double>(grad[at[0]]), (from[at[1]] - center) * scale, to[at[2]]);
            });
          }
        };
        double sum = 0, product = 0;  // of weight * gy, and of that times the normalized x
        for_each([&](int64_t c, double grad, double normalized, T&) {
          bias_sums[c] += grad;
          weight_sums[c] += grad * normalized;
          sum += grad * entry<T>(weight, c, 1);
          product += grad * entry<T>(weight, c, 1) * normalized;
        });
        for_each([&](int64_t c, double grad, double normalized, T& to) {
          to = static_cast<T>(scale * (grad * entry<T>(weight, c, 1) - sum / count - normalized * product / count));
        });
      }
    }
    for (int64_t c = 0; c < x.shape()[1]; ++c) {
      set_entry<T>(gweight, c, weight_sums[c]);
      set_entry<T>(gbias, c, bias_sums[c]);
    }
  });
}

}  // namespace gradus::ref
