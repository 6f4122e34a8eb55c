// Softmax, dropout and the losses but cross-entropy.
#include <utility>

#include "autograd/autocast.h"
#include "autograd/gradients.h"
#include "core/check_defined.h"
#include "core/error.h"

namespace gradus {

Tensor reduced(const Tensor& losses, Reduction reduction) {
  if (reduction == Reduction::none) return losses;
  return reduction == Reduction::sum ? sum(losses) : mean(losses);
}
double share(const Tensor& losses, Reduction reduction) {
  return reduction == Reduction::mean ? 1 / static_cast<double>(losses.numel()) : 1;
}

Var softmax(const Var& x, int64_t dim) {
  if (widens(x)) return softmax(cast(x, DType::float32), dim);
  Tensor s = softmax(x.value(), dim);
  return record(
      "softmax", s, {x},
      [s = SavedOutput(s), dim](const Var& gy, Inputs in, Curvature h) {
        const Var y = s.get(in);
        in[0] = recording() ? y * (gy - sum(gy * y, {dim}, true)) : softmax_backward(gy.value(), y.value(), dim, false);
        if (!h) return;
        if (h.elementwise_softmax()) {
          const Var slope = y * (1.0 - y);
          h[0] = h.y() * square(slope) + gy * slope * (1.0 - y * 2.0);
          return;
        }
        const Var squared = square(y);  // dy_i/dx_j = y_i (1{i = j} - y_j)
        h[0] = squared * ((1.0 - y * 2.0) * h.y() + sum(squared * h.y(), {dim}, true));
        if (h.bends()) h[0] = h[0] + in[0] * (1.0 - y * 2.0);
      },
      [=] {
        return Attributes{{"dim", dim}};
      });
}

Var log_softmax(const Var& x, int64_t dim) {
  if (widens(x)) return log_softmax(cast(x, DType::float32), dim);
  Tensor s = log_softmax(x.value(), dim);
  return record(
      "log_softmax", s, {x},
      [s = SavedOutput(s), dim](const Var& gy, Inputs in, Curvature h) {
        const Var y = s.get(in);
        in[0] = recording() ? gy - exp(y) * sum(gy, {dim}, true) : softmax_backward(gy.value(), y.value(), dim, true);
        if (!h) return;
        const Var p = exp(y), variance = p * (1.0 - p);
        if (h.elementwise_softmax()) {
          h[0] = h.y() * square(1.0 - p) - gy * variance;
          return;
        }
        // dy_i/dx_j = 1{i = j} - p_j. A logarithm of a softmax is part of a loss: its second derivative always counts.
        h[0] = (1.0 - p * 2.0) * h.y() + square(p) * sum(h.y(), {dim}, true) - sum(gy, {dim}, true) * variance;
      },
      [=] {
        return Attributes{{"dim", dim}};
      });
}

Var dropout(const Var& x, double p, const RandomKey& key) {
  return record("dropout", dropout(x.value(), p, key), {x},
                scales([p, key](const Var& gy, Inputs in) { in[0] = dropout(gy, p, key); }));
}

namespace {

void check_target(const char* op, const Var& x, const Var& target) {
  check::defined(op, x.value());
  check::defined(op, target.value(), "the target");
  if (!(x.shape() == target.shape()))
    fail(ErrorKind::shape, op, "input and target must have the same shape, got ", x.shape(), " and ", target.shape(),
         ". Reshape one: a broadcast would compare every pair");
  if (x.dtype() != target.dtype() && !(widens(x) || widens(target)))
    fail(ErrorKind::dtype, op, "input and target must have the same dtype, got ", x.dtype(), " and ", target.dtype(),
         ": cast() one");
}

/// x as losses compute with it: in float32 where it came in bfloat16.
Var widened(const Var& x) { return widens(x) ? cast(x, DType::float32) : x; }

/// A loss of each d = x - target: its values, derivative and second derivative.
template <class Values, class Slope, class Bend>
Var loss_of_difference(const char* op, const Var& narrow, const Var& narrow_target, Reduction reduction, Values values,
                       Slope slope, Bend bend) {
  check_target(op, narrow, narrow_target);
  const Var x = widened(narrow), target = widened(narrow_target);
  const Tensor losses = values(x.value() - target.value());
  return record(op, reduced(losses, reduction), {x, target},
                [x = Saved(x), target = Saved(target), share = share(losses, reduction), slope, bend](
                    const Var& gy, Inputs in, Curvature h) {
                  const Var d = x.get(in) - target.get(in), along = slope(d), g = along * (gy * share);
                  if (in.needs(0)) in[0] = g;
                  if (in.needs(1)) in[1] = neg(g);
                  if (h) h[0] = h[1] = h.y() * square(along * share) + gy * share * bend(d);
                });
}

}  // namespace

Var mse_loss(const Var& x, const Var& target, Reduction reduction) {
  return loss_of_difference(
      "mse_loss", x, target, reduction, [](const Tensor& d) { return square(d); }, [](const Var& d) { return d * 2.0; },
      [](const Var&) { return 2.0; });
}

Var l1_loss(const Var& x, const Var& target, Reduction reduction) {
  return loss_of_difference(
      "l1_loss", x, target, reduction, [](const Tensor& d) { return abs(d); },
      [](const Var& d) { return Var(sign(d.value())); }, [](const Var&) { return 0.0; });
}

Var huber_loss(const Var& x, const Var& target, double delta, Reduction reduction) {
  if (!(delta > 0)) fail(ErrorKind::value, "huber_loss", "delta must be positive, got ", delta);
  return loss_of_difference(
      "huber_loss", x, target, reduction,
      [delta](const Tensor& d) {
        const Tensor near = clamp(d, -delta, delta);
        return near * (d - near * 0.5);
      },
      [delta](const Var& d) { return clamp(d, -delta, delta); },
      [delta](const Var& d) {
        const Tensor& value = d.value();
        return Var(cast(less_equal(abs(value), Tensor::full({}, delta, value.dtype())), value.dtype()));
      });
}

Var binary_cross_entropy_with_logits(const Var& narrow_logits, const Var& narrow_target, Reduction reduction) {
  check_target("binary_cross_entropy_with_logits", narrow_logits, narrow_target);
  const Var logits = widened(narrow_logits), target = widened(narrow_target);
  const Tensor losses = softplus(logits.value()) - logits.value() * target.value();
  return record("binary_cross_entropy_with_logits", reduced(losses, reduction), {logits, target},
                [logits = Saved(logits), target = Saved(target), share = share(losses, reduction)](
                    const Var& gy, Inputs in, Curvature h) {
                  const Var &x = logits.get(in), g = gy * share, p = sigmoid(x), slope = p - target.get(in);
                  if (in.needs(0)) in[0] = slope * g;
                  if (in.needs(1)) in[1] = neg(x * g);
                  if (!h) return;
                  h[0] = h.y() * square(slope * share) + g * p * (1.0 - p);
                  h[1] = h.y() * square(x * share);
                });
}

Var gaussian_nll_loss(const Var& mean, const Var& variance, const Var& target, Reduction reduction) {
  if (widens(mean) || widens(variance) || widens(target))
    return gaussian_nll_loss(cast(mean, DType::float32), cast(variance, DType::float32), cast(target, DType::float32),
                             reduction);
  for (const Var* operand : {&mean, &variance, &target})
    check::defined("gaussian_nll_loss", operand->value(), "mean, variance or target");
  if (!(mean.shape() == variance.shape()) || !(mean.shape() == target.shape()))
    fail(ErrorKind::shape, "gaussian_nll_loss", "mean, variance and target must have the same shape, got ",
         mean.shape(), ", ", variance.shape(), " and ", target.shape());
  const Tensor losses = (log(variance.value()) + square(target.value() - mean.value()) / variance.value()) * 0.5;
  return record("gaussian_nll_loss", reduced(losses, reduction), {mean, variance, target},
                [mean = Saved(mean), variance = Saved(variance), target = Saved(target),
                 share = share(losses, reduction)](const Var& gy, Inputs in, Curvature h) {
                  const Var &v = variance.get(in), d = target.get(in) - mean.get(in), g = gy * share;
                  const Var slope = d / v, slope_of_variance = (1.0 - d * slope) / (v * 2.0);
                  if (in.needs(0)) in[0] = neg(slope * g);
                  if (in.needs(1)) in[1] = slope_of_variance * g;
                  if (in.needs(2)) in[2] = slope * g;
                  if (!h) return;
                  h[0] = h[2] = g / v + h.y() * square(slope * share);
                  h[1] = g * (d * slope - 0.5) / square(v) + h.y() * square(slope_of_variance * share);
                });
}

}  // namespace gradus
