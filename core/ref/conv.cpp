// Reference convolutions: direct sums over the taps of the window, in double, on images repacked to height x width x
// channels so that the innermost loop runs over adjacent channels.
#include <algorithm>
#include <vector>

#include "core/kernels.h"
#include "core/ref/loops.h"
#include "core/ref/widened.h"

namespace gradus::ref {
namespace {

struct Geometry {
  Geometry(const Shape& x, const Shape& w, const Shape& y, const Conv2dSpec& conv)
      : batch(x[0]),
        height(x[2]),
        width(x[3]),
        out_height(y[2]),
        out_width(y[3]),
        in_channels(x[1]),
        out_channels(w[0]),
        group_in(w[1]),
        group_out(w[0] / conv.groups),
        kernel_height(w[2]),
        kernel_width(w[3]),
        spec(conv) {}

  int64_t image_size() const { return height * width * in_channels; }
  int64_t output_size() const { return out_height * out_width * out_channels; }

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

  int64_t batch, height, width, out_height, out_width;
  int64_t in_channels, out_channels, group_in, group_out, kernel_height, kernel_width;
  Conv2dSpec spec;
};

/// Dimensions or strides in another order.
Dims ordered(const Dims& dims, const std::array<int, 4>& order) {
  return {dims[order[0]], dims[order[1]], dims[order[2]], dims[order[3]]};
}

/// The elements of a 4-D tensor, row-major once its dimensions are put in that order.
template <class T>
std::vector<double> pack(const Tensor& x, const std::array<int, 4>& order) {
  std::vector<double> packed;
  packed.reserve(static_cast<size_t>(x.numel()));
  const T* from = pointer<T>(x);
  for_each_element<1>(ordered(x.shape(), order), {ordered(x.strides(), order)},
                      [&](const Offsets<1>& at) { packed.push_back(static_cast<double>(from[at[0]])); });
  return packed;
}

template <class T>
void unpack(const std::vector<double>& packed, const std::array<int, 4>& order, Tensor& x) {
  T* to = pointer<T>(x);
  auto next = packed.begin();
  for_each_element<1>(ordered(x.shape(), order), {ordered(x.strides(), order)},
                      [&](const Offsets<1>& at) { to[at[0]] = static_cast<T>(*next++); });
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
  if (is_bfloat16(x)) return conv2d_forward(widened(x), widened(w), widened(bias), relu, spec, Narrowed(y));
  visit_floating("conv2d", x.dtype(), [&]<class T>(T) {
    const Geometry g(x.shape(), w.shape(), y.shape(), spec);
    const std::vector<double> images = pack<T>(x, image_order), weights = pack<T>(w, taps_in_out_order);
    std::vector<double> outputs(static_cast<size_t>(y.numel()), 0.0);
    for (int64_t n = 0; n < g.batch; ++n)
      g.for_each_tap([&](int64_t out_pixel, int64_t in_pixel, int64_t tap) {
        for (int64_t group = 0; group < spec.groups; ++group) {
          const double* from = &images[n * g.image_size() + in_pixel * g.in_channels + group * g.group_in];
          double* to = &outputs[n * g.output_size() + out_pixel * g.out_channels + group * g.group_out];
          for (int64_t i = 0; i < g.group_in; ++i)
            add_scaled(from[i], &weights[(tap * g.group_in + i) * g.out_channels + group * g.group_out], g.group_out,
                       to);
        }
      });
    for (size_t i = 0; i < outputs.size(); ++i) {
      const int64_t channel = static_cast<int64_t>(i) % g.out_channels;
      if (bias.defined()) outputs[i] += static_cast<double>(pointer<T>(bias)[channel * bias.strides()[0]]);
      if (relu && outputs[i] < 0) outputs[i] = 0;
    }
    unpack<T>(outputs, image_order, y);
  });
}

void conv2d_grad_input(const Tensor& gy, const Tensor& w, const Conv2dSpec& spec, Tensor& gx) {
  if (is_bfloat16(gy)) return conv2d_grad_input(widened(gy), widened(w), spec, Narrowed(gx));
  visit_floating("conv2d_grad_input", gy.dtype(), [&]<class T>(T) {
    const Geometry g(gx.shape(), w.shape(), gy.shape(), spec);
    const std::vector<double> outputs = pack<T>(gy, image_order), weights = pack<T>(w, taps_out_in_order);
    std::vector<double> images(static_cast<size_t>(gx.numel()), 0.0);
    for (int64_t n = 0; n < g.batch; ++n)
      g.for_each_tap([&](int64_t out_pixel, int64_t in_pixel, int64_t tap) {
        const double* from = &outputs[n * g.output_size() + out_pixel * g.out_channels];
        double* to = &images[n * g.image_size() + in_pixel * g.in_channels];
        for (int64_t o = 0; o < g.out_channels; ++o)
          add_scaled(from[o], &weights[(tap * g.out_channels + o) * g.group_in], g.group_in,
                     to + o / g.group_out * g.group_in);
      });
    unpack<T>(images, image_order, gx);
  });
}

void conv2d_grad_weight(const Tensor& gy, const Tensor& x, const Conv2dSpec& spec, Tensor& gw) {
  if (is_bfloat16(gy)) return conv2d_grad_weight(widened(gy), widened(x), spec, Narrowed(gw));
  visit_floating("conv2d_grad_weight", gy.dtype(), [&]<class T>(T) {
    const Geometry g(x.shape(), gw.shape(), gy.shape(), spec);
    const std::vector<double> outputs = pack<T>(gy, image_order), images = pack<T>(x, image_order);
    std::vector<double> weights(static_cast<size_t>(gw.numel()), 0.0);
    for (int64_t n = 0; n < g.batch; ++n)
      g.for_each_tap([&](int64_t out_pixel, int64_t in_pixel, int64_t tap) {
        const double* out = &outputs[n * g.output_size() + out_pixel * g.out_channels];
        const double* in = &images[n * g.image_size() + in_pixel * g.in_channels];
        for (int64_t o = 0; o < g.out_channels; ++o)
          add_scaled(out[o], in + o / g.group_out * g.group_in, g.group_in,
                     &weights[(tap * g.out_channels + o) * g.group_in]);
      });
    unpack<T>(weights, taps_out_in_order, gw);
  });
}

void bias_relu_backward(const Tensor& gy, const Tensor& y, Tensor& gz, Tensor& gbias) {
  if (is_bfloat16(y)) return bias_relu_backward(widened(gy), widened(y), Narrowed(gz), Narrowed(gbias));
  visit_floating("bias_relu_backward", gy.dtype(), [&]<class T>(T) {
    const Strides per_channel = {0, 1, 0, 0};
    std::vector<double> sums(static_cast<size_t>(gbias.numel()));
    for_each_element<4>(gy.shape(), {gy.strides(), y.strides(), gz.strides(), per_channel}, [&](const Offsets<4>& at) {
      const T kept = pointer<T>(y)[at[1]] > 0 ? pointer<T>(gy)[at[0]] : T{0};
      pointer<T>(gz)[at[2]] = kept;
      sums[static_cast<size_t>(at[3])] += static_cast<double>(kept);
    });
    for (size_t c = 0; c < sums.size(); ++c)
      pointer<T>(gbias)[static_cast<int64_t>(c) * gbias.strides()[0]] = static_cast<T>(sums[c]);
  });
}

void conv2d_gradients(const Tensor& gy, const Tensor& y, const Tensor& x, const Tensor& w, const Conv2dSpec& spec,
                      Tensor& gx, Tensor& gw, Tensor& gbias) {
  Tensor gz = gy;
  if (y.defined()) {
    gz = Tensor::empty_like(y);
    bias_relu_backward(gy, y, gz, gbias);
  }
  if (gx.defined()) conv2d_grad_input(gz, w, spec, gx);
  conv2d_grad_weight(gz, x, spec, gw);
}

}  // namespace gradus::ref
