// Softmax, dropout and the losses.
#include <utility>

#include "autograd/autocast.h"
#include "autograd/gradients.h"
#include "core/check_defined.h"
#include "core/error.h"
#include "core/step_graph.h"

namespace gradus {
namespace {

/// The loss of a batch, and how much of its gradient each element's loss takes.
Tensor reduced(const Tensor& losses, Reduction reduction) {
  if (reduction == Reduction::none) return losses;
  return reduction == Reduction::sum ? sum(losses) : mean(losses);
}
double share(const Tensor& losses, Reduction reduction) {
  return reduction == Reduction::mean ? 1 / static_cast<double>(losses.numel()) : 1;
}

}  // namespace

namespace {

void check_integers(const char* op, const Tensor& labels) {
  check::defined(op, labels, "the vector of labels");
  if (labels.dtype() != DType::int64)
    fail(ErrorKind::dtype, op, "labels must be int64, got ", labels.dtype(), ". Convert them with cast()");
}

/// Where element i of this shape lies: "5", or "[0,1,1]".
std::string place_of(int64_t i, const Shape& shape) {
  if (shape.size() == 1) return text(i);
  Dims place = shape;
  for (size_t d = place.size(); d-- > 0; i /= shape[d]) place[d] = i % shape[d];
  return text(place);
}

/// That labels, but for `ignored`, are classes of logits [N, K, d...].
void check_classes(const char* op, const Shape& logits, const Tensor& labels, std::optional<int64_t> ignored = {}) {
  if (capturing()) return;  // there are no values to look at
  const int64_t classes = logits[1];
  const std::vector<int64_t> host = labels.to_vector<int64_t>();
  for (size_t i = 0; i < host.size(); ++i)
    if ((host[i] < 0 || host[i] >= classes) && host[i] != ignored)
      fail(ErrorKind::value, op, "label ", host[i], " at position ", place_of(static_cast<int64_t>(i), labels.shape()),
           " is not in [0, ", classes, "): the logits are ", logits,
           host[i] == -100 || host[i] == 255 ? text("; if it does not count, say .ignore = ", host[i]) : "");
}

}  // namespace

void check_labels(const char* op, const Var& logits, const Tensor& labels) {
  check::defined(op, logits.value());
  check_integers(op, labels);
  if (logits.rank() != 2 || !(labels.shape() == Shape{logits.shape()[0]}))
    fail(ErrorKind::shape, op, "expects logits [N, K] and labels [N], got ", logits.shape(), " and ", labels.shape());
  check_classes(op, logits.shape(), labels);
}

namespace {

/// What the softmax should be: 1 - smoothing at the label, plus smoothing / K everywhere.
Tensor target_distribution(const Tensor& index, const Shape& logits, double smoothing, DType dtype) {
  const Tensor base = Tensor::full(logits, smoothing / static_cast<double>(logits[1]), dtype);
  return scatter_add(base, 1, index, Tensor::full(index.shape(), 1 - smoothing, dtype));
}

}  // namespace

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

/// That these are logits [N, K, d...] and labels [N, d...].
void check_shapes(const Tensor& logits, const Tensor& labels) {
  Dims wanted = logits.shape();
  wanted.erase(1);
  if (!(labels.shape() == Shape(wanted)))
    fail(ErrorKind::shape, "cross_entropy", "expects logits [N, K, d...] and labels [N, d...], got ", logits.shape(),
         " and ", labels.shape());
}

/// Logits [N, K, d...] as rows of classes; of channels-last pictures without a copy.
Var rows_of_classes(const Var& logits) {
  Dims order = {0};
  for (int d = 2; d < logits.rank(); ++d) order.push_back(d);
  order.push_back(1);
  return reshape(permute(logits, order),
                 {logits.value().numel() / std::max<int64_t>(logits.size(1), 1), logits.size(1)});
}

/// The loss over the rows whose label is not ignored, each by its class's weight; 0 where there is none.
Var weighted_cross_entropy(const Var& logits, const Tensor& labels, CrossEntropyOptions options) {
  check_integers("cross_entropy", labels);
  const std::optional<int64_t> ignored = std::exchange(options.ignore, std::nullopt);
  const Tensor class_weights = std::exchange(options.class_weights, {});
  const Reduction reduction = std::exchange(options.reduction, Reduction::none);
  const Tensor counts =
      ignored ? not_equal(labels, static_cast<double>(*ignored)) : Tensor::ones(labels.shape(), DType::boolean);
  // What is ignored may be anything, also no number, and gets no gradient.
  const bool fit = logits.rank() == 2 && counts.rank() == 1 && logits.size(0) == counts.size(0);
  const Var counted = fit && ignored ? where(unsqueeze(counts, 1), logits, 0) : logits;
  const Tensor classes = where(counts, labels, 0);
  const Var all = cross_entropy(counted, classes, options);
  Tensor weights = cast(counts, all.dtype());
  if (class_weights.defined()) {
    if (!(class_weights.shape() == Shape{logits.size(1)}))
      fail(ErrorKind::shape, "cross_entropy", "expects one class weight for each of the ", logits.size(1),
           " classes of the logits ", logits.shape(), ", got ", class_weights.shape());
    if (options.label_smoothing != 0)
      fail(ErrorKind::value, "cross_entropy", "class_weights do not go with label_smoothing, here ",
           options.label_smoothing);
    weights = where(counts, index_select(cast(class_weights, all.dtype()), 0, classes), 0);
  }
  const Var losses = where(counts, all, 0) * weights;
  if (reduction == Reduction::none) return losses;
  if (reduction == Reduction::sum) return sum(losses);
  const Tensor whole = sum(weights);
  return sum(losses) / where(equal(whole, 0), Tensor::ones({}, whole.dtype()), whole);
}

/// Gradient and curvature of the loss -sum t log p for rows of logits x and targets t, whose sums are `mass`; undefined
/// where those are 1.
void to_logits(const Var& x, const Tensor& t, const Tensor& mass, double share, Reduction reduction, const Var& gy,
               Inputs in, Curvature h) {
  const auto per_row = [&](const Var& v) { return reduction == Reduction::none ? unsqueeze(v, 1) : v; };
  const Var g = per_row(gy) * share, p = softmax(x, 1), slope = (mass.defined() ? p * mass : p) - t;
  in[0] = slope * g;
  if (!h) return;
  const Var weight = h.elementwise_softmax() ? g * t : mass.defined() ? g * mass : g;
  h[0] = weight * (p * (1.0 - p)) + per_row(h.y()) * square(slope * share);
}

/// The loss for rows of probabilities [N, K].
Var soft_cross_entropy(const Var& logits, const Tensor& target, const CrossEntropyOptions& options) {
  const double smoothing = options.label_smoothing;
  const Tensor t = smoothing == 0 ? target : target * (1 - smoothing) + smoothing / static_cast<double>(logits.size(1));
  const Tensor losses = neg(sum(t * log_softmax(logits.value(), 1), {1}));
  return record("cross_entropy", reduced(losses, options.reduction), {logits},
                [logits = Saved(logits), t = Saved(t), mass = sum(t, {1}, true), reduction = options.reduction,
                 share = share(losses, options.reduction)](const Var& gy, Inputs in, Curvature h) {
                  to_logits(logits.get(in), t.get(in).value(), mass, share, reduction, gy, in, h);
                });
}

void check_soft(const Var& logits, const Tensor& target, const CrossEntropyOptions& options) {
  if (!(logits.shape() == target.shape()) || logits.rank() < 2)
    fail(ErrorKind::shape, "cross_entropy", "expects probabilities shaped like the logits [N, K, d...], got ",
         target.shape(), " and ", logits.shape());
  if (options.ignore || options.class_weights.defined())
    fail(ErrorKind::value, "cross_entropy", "probabilities go with neither ignore nor class_weights");
  const double smoothing = options.label_smoothing;
  if (!(smoothing >= 0 && smoothing <= 1))
    fail(ErrorKind::value, "cross_entropy", "label_smoothing must be in [0, 1], got ", smoothing);
}

}  // namespace

Var cross_entropy(const Var& logits, const Tensor& labels, const CrossEntropyOptions& options) {
  if (widens(logits)) return cross_entropy(cast(logits, DType::float32), labels, options);
  if (logits.defined() && labels.defined() && is_floating(labels.dtype())) {
    check_soft(logits, labels, options);
    const Tensor target = cast(labels, logits.dtype());
    if (logits.rank() == 2) return soft_cross_entropy(logits, target, options);
    const Var loss = soft_cross_entropy(rows_of_classes(logits), rows_of_classes(target).value(), options);
    Dims positions = logits.shape();
    positions.erase(1);
    return options.reduction == Reduction::none ? reshape(loss, Shape(positions)) : loss;
  }
  if (logits.defined() && logits.rank() > 2 && labels.defined()) {
    check_shapes(logits.value(), labels);
    check_integers("cross_entropy", labels);
    check_classes("cross_entropy", logits.shape(), labels, options.ignore);
    const Var loss = cross_entropy(rows_of_classes(logits), reshape(labels, {labels.numel()}), options);
    return options.reduction == Reduction::none ? reshape(loss, labels.shape()) : loss;
  }
  if (options.ignore || options.class_weights.defined()) return weighted_cross_entropy(logits, labels, options);
  check_labels("cross_entropy", logits, labels);
  const double smoothing = options.label_smoothing;
  if (!(smoothing >= 0 && smoothing <= 1))
    fail(ErrorKind::value, "cross_entropy", "label_smoothing must be in [0, 1], got ", smoothing);
  const auto [losses, normalizers] = cross_entropy(logits.value(), labels, smoothing);
  return record(
      "cross_entropy", reduced(losses, options.reduction), {logits},
      [logits = Saved(logits), labels = Saved(labels), normalizers = normalizers, smoothing,
       reduction = options.reduction, share = share(losses, options.reduction)](const Var& gy, Inputs in, Curvature h) {
        const Var& x = logits.get(in);
        const Tensor y = labels.get(in).value();
        if (!recording() && !h) {
          in[0] = cross_entropy_backward(gy.value(), x.value(), y, normalizers, smoothing, share);
          return;
        }
        const Tensor target = target_distribution(unsqueeze(y, 1), x.shape(), smoothing, x.dtype());
        to_logits(x, target, {}, share, reduction, gy, in, h);
      });
}

namespace {

void check_target(const char* op, const Var& x, const Var& target) {
  check::defined(op, x.value());
  check::defined(op, target.value(), "the target");
  if (!(x.shape() == target.shape()))
    fail(ErrorKind::shape, op, "input and target must have the same shape, got ", x.shape(), " and ", target.shape(),
         ". Reshape one: a broadcast would compare every pair");
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
