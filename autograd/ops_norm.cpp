// Batch, layer and group normalization. Forward and first gradient are one kernel each; while a walk is itself being
// recorded, the gradient is composed of operations on variables, statistics included.
#include <algorithm>
#include <limits>

#include "autograd/autocast.h"
#include "autograd/ops.h"
#include "autograd/record.h"
#include "core/check_defined.h"
#include "core/error.h"

namespace gradus {
namespace {

/// x with mean 0 and variance 1 over `dims`, and the factor 1 / sqrt(variance + eps) that made it so.
struct Standardized {
  Var values, rstd;
};
Standardized standardize(const Var& x, const Dims& dims, double eps) {
  const Var centered = x - mean(x, dims, true);
  const Var rstd = rsqrt(mean(square(centered), dims, true) + eps);
  return {centered * rstd, rstd};
}

/// From the gradient g of the standardized values to that of x: what is left of g when its components along 1 and along
/// the values themselves, both of which standardizing removes from x, are removed.
Var standardize_grad(const Var& g, const Standardized& s, const Dims& dims) {
  return (g - mean(g, dims, true) - s.values * mean(g * s.values, dims, true)) * s.rstd;
}

/// A parameter [C] shaped to broadcast against x [N, C, ...].
Var per_channel(const char* op, const Var& parameter, const Var& x) {
  Shape shape = Shape::filled(x.rank(), 1);
  shape[1] = x.shape()[1];
  if (!(parameter.shape() == Shape{shape[1]}))
    fail(ErrorKind::shape, op, "weight and bias must be [", shape[1], "] for input ", x.shape(), ", but one is ",
         parameter.shape());
  return reshape(parameter, shape);
}

/// Statistics [N, G] of groups of channels shaped to broadcast against x [N, C, ...].
Tensor per_group(const Tensor& statistics, const Var& x) {
  const int64_t images = statistics.size(0), groups = statistics.size(1);
  Shape shape = Shape::filled(x.rank(), 1);
  shape[0] = images;
  shape[1] = x.shape()[1];
  return reshape(expand(unsqueeze(statistics, 2), {images, groups, shape[1] / groups}), shape);
}

/// Every dimension but the channels.
Dims around_channels(int rank) {
  Dims dims;
  for (int d = 0; d < rank; ++d)
    if (d != 1) dims.push_back(d);
  return dims;
}

/// Curvature through y = x_hat weight + bias with x_hat = (x - mean) rstd, the statistics held constant, in their
/// dtype. `per` shapes a parameter to broadcast against x; `around` are the dimensions that its curvature is summed
/// over.
template <class Per>
void frozen_curvature(Inputs in, Curvature h, const Var& x, const Var& weight, const Var& mean, const Var& rstd,
                      const Per& per, const Dims& around) {
  const Var hy = cast(h.y(), rstd.dtype());
  if (in.needs(0)) h[0] = cast(hy * square(weight.defined() ? rstd * per(weight) : rstd), in.dtype(0));
  if (in.needs(1)) h[1] = sum(hy * square((cast(x, rstd.dtype()) - mean) * rstd), around);
  if (in.needs(2)) h[2] = sum(hy, around);
}

/// The gradients of input, weight and bias to the inputs in this order.
void hand_over(Inputs in, NormGradients g) {
  in[0] = std::move(g.input);
  in[1] = std::move(g.weight);
  in[2] = std::move(g.bias);
}

/// layer_norm() of a matrix [rows, columns].
Var normalize_rows(const Var& x, const Var& weight, const Var& bias, double eps) {
  Normalized y = layer_norm(x.value(), weight.value(), bias.value(), eps);
  return record(
      "layer_norm", std::move(y.values), {x, weight, bias},
      [x = Saved(x), w = Saved(weight), mean = std::move(y.mean), rstd = std::move(y.rstd), eps](
          const Var& gy, Inputs in, Curvature h) {
        const Var &input = x.get(in), &weight = w.get(in);
        if (h)
          frozen_curvature(in, h, input, weight, unsqueeze(mean, 1), unsqueeze(rstd, 1),
                           [](const Var& parameter) { return parameter; }, {0});
        if (!recording())
          return hand_over(in, layer_norm_backward(gy.value(), input.value(), weight.value(), mean, rstd));
        const Standardized s = standardize(input, {1}, eps);
        if (in.needs(0)) in[0] = standardize_grad(weight.defined() ? gy * weight : gy, s, {1});
        if (in.needs(1)) in[1] = sum(gy * s.values, {0});
        if (in.needs(2)) in[2] = sum(gy, {0});
      },
      [=] {
        return Attributes{{"eps", eps}};
      });
}

/// A parameter of layer_norm as the row that normalize_rows() expects.
Var as_row(const Var& parameter, const Shape& normalized) {
  if (!parameter.defined()) return parameter;
  if (!(parameter.shape() == normalized))
    fail(ErrorKind::shape, "layer_norm", "weight and bias must have the normalized shape ", normalized, ", but one is ",
         parameter.shape());
  return parameter.rank() == 1 ? parameter : reshape(parameter, {numel(normalized)});
}

}  // namespace

Var batch_norm(const Var& x, const Var& weight, const Var& bias, double eps, BatchStatistics* statistics) {
  Normalized y = batch_norm(x.value(), weight.value(), bias.value(), eps);
  if (statistics) {
    statistics->mean = y.mean;
    statistics->variance = clamp(reciprocal(square(y.rstd)) - eps, 0, std::numeric_limits<double>::infinity());
  }
  return record("batch_norm", std::move(y.values), {x, weight, bias},
                [x = Saved(x), w = Saved(weight), mean = Saved(y.mean), rstd = std::move(y.rstd), eps](
                    const Var& gy, Inputs in, Curvature h) {
                  const Var &input = x.get(in), &weight = w.get(in);
                  const auto per = [&](const Var& parameter) { return per_channel("batch_norm", parameter, input); };
                  if (h)
                    frozen_curvature(in, h, input, weight, per(mean.get(in)), per(rstd), per,
                                     around_channels(input.rank()));
                  if (!recording())
                    return hand_over(
                        in, batch_norm_backward(gy.value(), input.value(), weight.value(), mean.get(in).value(), rstd));
                  const Dims dims = around_channels(input.rank());
                  const Standardized s = standardize(cast(input, rstd.dtype()), dims, eps);
                  const Var wide = cast(gy, rstd.dtype());
                  if (in.needs(0)) {
                    const Var g = weight.defined() ? wide * per(weight) : wide;
                    in[0] = cast(standardize_grad(g, s, dims), in.dtype(0));
                  }
                  if (in.needs(1)) in[1] = sum(wide * s.values, dims);
                  if (in.needs(2)) in[2] = sum(wide, dims);
                });
}

Var batch_norm_apply(const Var& x, const Var& weight, const Var& bias, const Tensor& mean, const Tensor& variance,
                     double eps) {
  const Tensor rstd = rsqrt(variance + eps);
  return record(
      "batch_norm_apply", batch_norm_apply(x.value(), weight.value(), bias.value(), mean, rstd), {x, weight, bias},
      [x = Saved(x, weight.requires_grad()), w = Saved(weight, x.requires_grad()), mean = Saved(mean), rstd](
          const Var& gy, Inputs in, Curvature h) {
        const Dims dims = around_channels(gy.rank());
        const auto per = [&](const Var& parameter) { return per_channel("batch_norm_apply", parameter, gy); };
        const Var scale = per(rstd), wide = cast(gy, rstd.dtype());
        if (h) frozen_curvature(in, h, x.get(in), w.get(in), per(mean.get(in)), scale, per, dims);
        if (in.needs(0)) {
          const Var& weight = w.get(in);
          in[0] = cast(wide * (weight.defined() ? scale * per(weight) : scale), in.dtype(0));
        }
        if (in.needs(1)) {
          const Var centered = cast(x.get(in), rstd.dtype()) - per(mean.get(in));
          in[1] = sum(wide * (centered * scale), dims);
        }
        if (in.needs(2)) in[2] = sum(wide, dims);
      },
      [&] {
        return Attributes{{"mean", mean}, {"variance", variance}, {"eps", eps}};
      });
}

Var layer_norm(const Var& x, const Shape& normalized, const Var& weight, const Var& bias, double eps) {
  if (widens(x)) return layer_norm(cast(x, DType::float32), normalized, weight, bias, eps);
  check::defined("layer_norm", x.value());
  const int leading = x.rank() - normalized.rank();
  bool trailing = leading >= 0 && !normalized.empty();
  for (int d = 0; trailing && d < normalized.rank(); ++d) trailing = x.shape()[leading + d] == normalized[d];
  if (!trailing)
    fail(ErrorKind::shape, "layer_norm", "the normalized shape ", normalized,
         " must be the last dimensions of the input, which is ", x.shape());
  Shape rows = {1, numel(normalized)};
  for (int d = 0; d < leading; ++d) rows[0] *= x.shape()[d];
  const Var w = as_row(weight, normalized), b = as_row(bias, normalized);
  if (x.shape() == rows) return normalize_rows(x, w, b, eps);
  return reshape(normalize_rows(reshape(x, rows), w, b, eps), x.shape());
}

Var group_norm(const Var& x, int64_t groups, const Var& weight, const Var& bias, double eps) {
  if (widens(x)) return group_norm(cast(x, DType::float32), groups, weight, bias, eps);
  Normalized y = group_norm(x.value(), groups, weight.value(), bias.value(), eps);
  return record(
      "group_norm", std::move(y.values), {x, weight, bias},
      [x = Saved(x), w = Saved(weight), mean = std::move(y.mean), rstd = std::move(y.rstd), eps](
          const Var& gy, Inputs in, Curvature h) {
        const Var &input = x.get(in), &weight = w.get(in);
        const Dims around = around_channels(input.rank());
        const auto per = [&](const Var& parameter) { return per_channel("group_norm", parameter, input); };
        if (h) frozen_curvature(in, h, input, weight, per_group(mean, input), per_group(rstd, input), per, around);
        if (!recording())
          return hand_over(in, group_norm_backward(gy.value(), input.value(), weight.value(), mean, rstd));
        const Shape rows = {mean.numel(), input.value().numel() / std::max<int64_t>(mean.numel(), 1)};
        const Standardized s = standardize(reshape(input, rows), {1}, eps);
        if (in.needs(0)) {
          const Var g = weight.defined() ? gy * per(weight) : gy;
          in[0] = reshape(standardize_grad(reshape(g, rows), s, {1}), input.shape());
        }
        if (in.needs(1)) in[1] = sum(gy * reshape(s.values, input.shape()), around);
        if (in.needs(2)) in[2] = sum(gy, around);
      },
      [=] {
        return Attributes{{"groups", groups}, {"eps", eps}};
      });
}

}  // namespace gradus
