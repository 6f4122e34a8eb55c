// Convolution and pooling. Convolution is closed under differentiation: conv2d and its two gradients are each linear in
// both operands, and the gradients of any of the three are the other two; so every order needs no further kernel. The
// same holds for the pairs pooling and its gradient.
#include "autograd/autocast.h"
#include "autograd/gradients.h"
#include "autograd/record.h"
#include "core/check_defined.h"
#include "core/error.h"

namespace gradus {
namespace {

/// Of bfloat16 activations it is summed in float32; `dtype` is that of the weight.
Var grad_weight(const Var& gy, const Var& x, const Conv2dSpec& spec, const Shape& w_shape, DType dtype);

Var grad_input(const Var& gy, const Var& w, const Conv2dSpec& spec, const Shape& x_shape) {
  return record("conv2d_grad_input", conv2d_grad_input(gy.value(), w.value(), spec, x_shape), {gy, w},
                [gy = Saved(gy, w.requires_grad()), w = Saved(w, gy.requires_grad()), spec](const Var& ggx, Inputs in) {
                  if (in.needs(0)) in[0] = conv2d(ggx, w.get(in), {}, spec);
                  if (in.needs(1)) in[1] = grad_weight(gy.get(in), ggx, spec, in.shape(1), in.dtype(1));
                });
}

Var grad_weight(const Var& gy, const Var& x, const Conv2dSpec& spec, const Shape& w_shape, DType dtype) {
  Tensor gw = cast(conv2d_grad_weight(gy.value(), x.value(), spec, w_shape), dtype);
  return record("conv2d_grad_weight", std::move(gw), {gy, x},
                [gy = Saved(gy, x.requires_grad()), x = Saved(x, gy.requires_grad()), spec](const Var& ggw, Inputs in) {
                  if (in.needs(0)) in[0] = conv2d(x.get(in), ggw, {}, spec);
                  if (in.needs(1)) in[1] = grad_input(gy.get(in), ggw, spec, in.shape(1));
                });
}

Var bias_gradient(const Var& gy, Inputs in) { return sum(cast(gy, in.dtype(2)), {0, 2, 3}); }

Var max_gather(const Var& x, const Tensor& index);

Var max_scatter(const Var& gy, const Tensor& index, const Shape& x_shape) {
  return record("max_pool2d_scatter", max_pool2d_scatter(gy.value(), index, x_shape), {gy},
                [index](const Var& ggx, Inputs in) { in[0] = max_gather(ggx, index); });
}

Var max_gather(const Var& x, const Tensor& index) {
  return record("max_pool2d_gather", max_pool2d_gather(x.value(), index), {x},
                [index](const Var& gy, Inputs in) { in[0] = max_scatter(gy, index, in.shape(0)); });
}

Var avg_backward(const Var& gy, const Pool2dSpec& spec, const Shape& x_shape) {
  return record("avg_pool2d_backward", avg_pool2d_backward(gy.value(), spec, x_shape), {gy},
                [spec](const Var& ggx, Inputs in) { in[0] = avg_pool2d(ggx, spec); });
}

Dims both(const Extent2d& extent) { return {extent.height, extent.width}; }

/// The weight of each element of a window in its average, broadcast against the averages.
Tensor window_weights(Pool2dSpec spec, const Shape& x, DType dtype) {
  const double whole = 1 / static_cast<double>(spec.kernel[0] * spec.kernel[1]);
  if (spec.count_padding) return Tensor::full({1, 1, 1, 1}, whole, dtype);
  spec.count_padding = true;  // then the average of ones is the part of the window that is not padding
  return whole / avg_pool2d(Tensor::ones({1, 1, x[2], x[3]}, dtype), spec);
}

auto window(const Pool2dSpec& spec) {
  return [&spec] {
    return Attributes{{"kernel", both(spec.kernel)},
                      {"stride", both(spec.stride)},
                      {"padding", Dims(spec.padding)},
                      {"count_padding", int64_t{spec.count_padding}}};
  };
}

/// What conv2d() keeps for its gradient.
struct SavedConv {
  Saved x, weight;
  SavedOutput y;  ///< where there is a ReLU
  Conv2dSpec spec;
  bool relu;

  void gradients(const Var& gy, Inputs in) const {
    // A bias gets its gradient in one pass with the ReLU; without one it is a sum.
    const bool fuses_bias = relu && in.needs(2) && !recording();
    if (in.needs(1) && !recording() && (fuses_bias || !relu)) return all_at_once(gy.value(), fuses_bias, in);
    Var gz = gy;
    if (fuses_bias) {
      BiasReluGradients both = bias_relu_backward(gy.value(), y.get(in).value());
      gz = both.gz, in[2] = both.gbias;
    } else {
      if (relu) gz = relu_grad(gy, y.get(in));
      if (in.needs(2)) in[2] = bias_gradient(gz, in);
    }
    if (in.needs(0)) in[0] = grad_input(gz, weight.get(in), spec, in.shape(0));
    if (in.needs(1)) in[1] = grad_weight(gz, x.get(in), spec, in.shape(1), in.dtype(1));
  }

 private:
  /// By the one kernel that reads the gradient once for the weight and the input.
  void all_at_once(const Tensor& gy, bool fuses_bias, Inputs in) const {
    const Tensor after = fuses_bias ? y.get(in).value() : Tensor(), &before = x.get(in).value();
    ConvGradients all = in.needs(0) ? conv2d_gradients(gy, after, before, weight.get(in).value(), spec)
                                    : conv2d_parameter_gradients(gy, after, before, spec, in.shape(1));
    if (in.needs(0)) in[0] = std::move(all.input);
    in[1] = cast(all.weight, in.dtype(1));
    if (fuses_bias) in[2] = std::move(all.bias);
    if (!fuses_bias && in.needs(2)) in[2] = bias_gradient(gy, in);
  }
};

}  // namespace

Var conv2d(const Var& x, const Var& weight, const Var& bias, const Conv2dSpec& spec, bool relu) {
  if (rounds(x)) return conv2d(cast(x, DType::bfloat16), weight, bias, spec, relu);
  Tensor y = conv2d(x.value(), weight.value(), bias.value(), spec, relu);
  const SavedConv saved{.x = Saved(x, weight.requires_grad()),
                        .weight = Saved(weight, x.requires_grad()),
                        .y = SavedOutput(y, relu),
                        .spec = spec,
                        .relu = relu};
  return record("conv2d", y, {x, weight, bias},
                multilinear([saved](const Var& gy, Inputs in) { saved.gradients(gy, in); }), [&] {
                  return Attributes{{"stride", both(spec.stride)},
                                    {"padding", Dims(spec.padding)},
                                    {"dilation", both(spec.dilation)},
                                    {"groups", spec.groups},
                                    {"relu", int64_t{relu}}};
                });
}

// Forward it is conv2d's gradient of the input, so its own gradients are the other two of the three.
Var conv_transpose2d(const Var& x, const Var& weight, const Var& bias, const ConvTranspose2dSpec& spec) {
  if (rounds(x)) return conv_transpose2d(cast(x, DType::bfloat16), weight, bias, spec);
  const auto gradients = [x = Saved(x, weight.requires_grad()), weight = Saved(weight, x.requires_grad()),
                          spec = spec.convolution()](const Var& gy, Inputs in) {
    if (in.needs(0)) in[0] = conv2d(gy, weight.get(in), {}, spec);
    if (in.needs(1)) in[1] = grad_weight(x.get(in), gy, spec, in.shape(1), in.dtype(1));
    if (in.needs(2)) in[2] = bias_gradient(gy, in);
  };
  return record("conv_transpose2d", conv_transpose2d(x.value(), weight.value(), bias.value(), spec), {x, weight, bias},
                multilinear(gradients), [&] {
                  return Attributes{{"stride", both(spec.stride)},
                                    {"padding", Dims(spec.padding)},
                                    {"output_padding", both(spec.output_padding)},
                                    {"dilation", both(spec.dilation)},
                                    {"groups", spec.groups}};
                });
}

Var max_pool2d(const Var& x, const Pool2dSpec& spec) {
  MaxPooled y = max_pool2d(x.value(), spec);
  return record("max_pool2d", std::move(y.values), {x}, selects([index = std::move(y.index)](const Var& gy, Inputs in) {
                  in[0] = max_scatter(gy, index, in.shape(0));
                }),
                window(spec));
}

Var avg_pool2d(const Var& x, const Pool2dSpec& spec) {
  return record(
      "avg_pool2d", avg_pool2d(x.value(), spec), {x},
      [spec](const Var& gy, Inputs in, Curvature h) {
        in[0] = avg_backward(gy, spec, in.shape(0));
        if (h) h[0] = avg_backward(h.y() * window_weights(spec, in.shape(0), gy.dtype()), spec, in.shape(0));
      },
      window(spec));
}

Var global_avg_pool2d(const Var& x) {
  check::defined("global_avg_pool2d", x.value());
  if (x.rank() != 4) fail(ErrorKind::shape, "global_avg_pool2d", "expects an input [N, C, H, W], got ", x.shape());
  return mean(x, {2, 3});
}

Var upsample_nearest2d(const Var& x, int64_t factor) {
  check::defined("upsample_nearest2d", x.value());
  if (x.rank() != 4) fail(ErrorKind::shape, "upsample_nearest2d", "expects an input [N, C, H, W], got ", x.shape());
  if (factor < 1) fail(ErrorKind::value, "upsample_nearest2d", "the factor must be positive, got ", factor);
  // Of a channels-last tensor a pixel's channels are copied as a whole.
  const int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3);
  const Tensor pixels = reshape(permute(x.value(), {0, 2, 3, 1}), {n, h, 1, w, 1, c});
  const Tensor rows = reshape(expand(pixels, {n, h, factor, w, factor, c}), {n, h * factor, w * factor, c});
  return record(
      "upsample_nearest2d", permute(rows, {0, 3, 1, 2}), {x},
      [factor](const Var& gy, Inputs in, Curvature h) {
        const auto sums = [factor](const Var& y) {
          const Pool2dSpec squares{.kernel = {factor, factor}, .stride = {factor, factor}};
          return avg_pool2d(y, squares) * static_cast<double>(factor * factor);
        };
        in[0] = sums(gy);
        if (h) h[0] = sums(h.y());
      },
      [factor] {
        return Attributes{{"factor", factor}};
      });
}

}  // namespace gradus
