// Reference convolutions: direct sums over the taps of the window, in double, on images repacked to height x width x
// channels so that the innermost loop runs over adjacent channels.
#include <algorithm>
#include <vector>

#include "core/kernels.h"
#include "core/ref/loops.h"

namespace gradus::ref {
namespace {

struct Geometry {
  Geometry(const Shape& x, const Shape& w, const Shape& y, const Conv2dSpec& conv)
      : batch(x[0]),
        height(x[2]),
        width(x[3]),
        out_channels(w[0]),
        group_in(w[1]),
        group_out(conv.groups == 0 ? 0 : w[0] / conv.groups),
        kernel_height(w[2]),
        kernel_width(w[3]),
        out_height(y[2]),
        out_width(y[3]),
        spec(conv) {}

  int64_t taps() const { return kernel_height * kernel_width; }

  /// body(output pixel, input pixel, tap) for each pair of pixels that a tap of the window connects.
  template <class Body>
  void for_each_tap(Body body) const {
    for (int64_t oh = 0; oh < out_height; ++oh)
      for (int64_t ow = 0; ow < out_width; ++ow)
        for (int64_t kh = 0; kh < kernel_height; ++kh) {
          const int64_t h = oh * spec.stride[0] - spec.padding[0] + kh * spec.dilation[0];
          if (h < 0 || h >= height) continue;
          for (int64_t kw = 0; kw < kernel_width; ++kw) {
            const int64_t w = ow * spec.stride[1] - spec.padding[1] + kw * spec.dilation[1];
            if (w >= 0 && w < width) body(oh * out_width + ow, h * width + w, kh * kernel_width + kw);
          }
        }
  }

  int64_t batch, height, width, out_channels, group_in, group_out, kernel_height, kernel_width, out_height, out_width;
  Conv2dSpec spec;
};

/// Copies between a 4-D tensor, seen with its dimensions in the given order, and a dense buffer of that order.
template <class T>
std::vector<double> pack(const Tensor& x, const std::array<int, 4>& order) {
  std::vector<double> packed;
  packed.reserve(static_cast<size_t>(x.numel()));
  Dims shape, strides;
  for (int d : order) shape.push_back(x.shape()[d]), strides.push_back(x.strides()[d]);
  for_each_element<1>(shape, {strides},
                      [&](const Offsets<1>& at) { packed.push_back(static_cast<double>(pointer<T>(x)[at[0]])); });
  return packed;
}

template <class T>
void unpack(const std::vector<double>& packed, const std::array<int, 4>& order, Tensor& x) {
  Dims shape, strides;
  for (int d : order) shape.push_back(x.shape()[d]), strides.push_back(x.strides()[d]);
  auto next = packed.begin();
  for_each_element<1>(shape, {strides}, [&](const Offsets<1>& at) { pointer<T>(x)[at[0]] = static_cast<T>(*next++); });
}

constexpr std::array<int, 4> image_order = {0, 2, 3, 1};        // N H W C
constexpr std::array<int, 4> taps_in_out_order = {2, 3, 1, 0};  // kh kw I O
constexpr std::array<int, 4> taps_out_in_order = {2, 3, 0, 1};  // kh kw O I

/// to[0, count) += factor * from[0, count)
void add_scaled(double factor, const double* from, int64_t count, double* to) {
  for (int64_t i = 0; i < count; ++i) to[i] += factor * from[i];
}

}  // namespace

void conv2d_forward(const Tensor& x, const Tensor& w, const Tensor& bias, bool relu, const Conv2dSpec& spec,
                    Tensor& y) {
  visit_floating("conv2d", x.dtype(), [&]<class T>(T) {
    const Geometry g(x.shape(), w.shape(), y.shape(), spec);
    const std::vector<double> images = pack<T>(x, image_order), weights = pack<T>(w, taps_in_out_order);
    std::vector<double> outputs(static_cast<size_t>(y.numel()), 0.0);
    const int64_t in_channels = x.shape()[1];
    for (int64_t n = 0; n < g.batch; ++n) {
      const double* image = images.data() + n * g.height * g.width * in_channels;
      double* output = outputs.data() + n * g.out_height * g.out_width * g.out_channels;
      g.for_each_tap([&](int64_t out_pixel, int64_t in_pixel, int64_t tap) {
        for (int64_t i = 0; i < in_channels; ++i) {
          const int64_t group = i / g.group_in;
          add_scaled(image[in_pixel * in_channels + i],
                     &weights[(tap * g.group_in + i % g.group_in) * g.out_channels + group * g.group_out], g.group_out,
                     output + out_pixel * g.out_channels + group * g.group_out);
        }
      });
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (bias.defined()) outputs[i] += pointer<T>(bias)[static_cast<int64_t>(i) % g.out_channels * bias.strides()[0]];
      if (relu && outputs[i] < 0) outputs[i] = 0;
    }
    unpack<T>(outputs, image_order, y);
  });
}

void conv2d_grad_input(const Tensor& gy, const Tensor& w, const Conv2dSpec& spec, Tensor& gx) {
  visit_floating("conv2d_grad_input", gy.dtype(), [&]<class T>(T) {
    const Geometry g(gx.shape(), w.shape(), gy.shape(), spec);
    const std::vector<double> outputs = pack<T>(gy, image_order), weights = pack<T>(w, taps_out_in_order);
    std::vector<double> images(static_cast<size_t>(gx.numel()), 0.0);
    const int64_t in_channels = gx.shape()[1];
    for (int64_t n = 0; n < g.batch; ++n) {
      const double* output = outputs.data() + n * g.out_height * g.out_width * g.out_channels;
      double* image = images.data() + n * g.height * g.width * in_channels;
      g.for_each_tap([&](int64_t out_pixel, int64_t in_pixel, int64_t tap) {
        for (int64_t o = 0; o < g.out_channels; ++o)
          add_scaled(output[out_pixel * g.out_channels + o], &weights[(tap * g.out_channels + o) * g.group_in],
                     g.group_in, image + in_pixel * in_channels + o / g.group_out * g.group_in);
      });
    }
    unpack<T>(images, image_order, gx);
  });
}

void conv2d_grad_weight(const Tensor& gy, const Tensor& x, const Conv2dSpec& spec, Tensor& gw) {
  visit_floating("conv2d_grad_weight", gy.dtype(), [&]<class T>(T) {
    const Geometry g(x.shape(), gw.shape(), gy.shape(), spec);
    const std::vector<double> outputs = pack<T>(gy, image_order), images = pack<T>(x, image_order);
    std::vector<double> weights(static_cast<size_t>(gw.numel()), 0.0);
    const int64_t in_channels = x.shape()[1];
    for (int64_t n = 0; n < g.batch; ++n) {
      const double* output = outputs.data() + n * g.out_height * g.out_width * g.out_channels;
      const double* image = images.data() + n * g.height * g.width * in_channels;
      g.for_each_tap([&](int64_t out_pixel, int64_t in_pixel, int64_t tap) {
        for (int64_t o = 0; o < g.out_channels; ++o)
          add_scaled(output[out_pixel * g.out_channels + o],
                     image + in_pixel * in_channels + o / g.group_out * g.group_in, g.group_in,
                     &weights[(tap * g.out_channels + o) * g.group_in]);
      });
    }
    unpack<T>(weights, taps_out_in_order, gw);
  });
}

}  // namespace gradus::ref
