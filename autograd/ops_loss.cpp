// Softmax, dropout and the losses.
#include "autograd/ops.h"
#include "autograd/record.h"
#include "core/error.h"

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

void check_labels(const Var& logits, const Tensor& labels) {
  if (logits.rank() != 2 || !(labels.shape() == Shape{logits.shape()[0]}))
    fail(ErrorKind::shape, "cross_entropy", "expects logits [N, K] and labels [N], but they are ", logits.shape(),
         " and ", labels.shape());
  if (labels.dtype() != DType::int64)
    fail(ErrorKind::dtype, "cross_entropy", "labels must be int64, but are ", labels.dtype(),
         ". Convert them with cast()");
  const int64_t classes = logits.shape()[1];
  const std::vector<int64_t> host = labels.to_vector<int64_t>();
  for (size_t i = 0; i < host.size(); ++i)
    if (host[i] < 0 || host[i] >= classes)
      fail(ErrorKind::value, "cross_entropy", "label ", host[i], " at position ", i, " is not in [0, ", classes,
           "): the logits are ", logits.shape());
}

/// What the softmax should be: 1 - smoothing at the label, plus smoothing / K everywhere.
Tensor target_distribution(const Tensor& index, const Shape& logits, double smoothing, DType dtype) {
  const Tensor base = Tensor::full(logits, smoothing / static_cast<double>(logits[1]), dtype);
  return scatter_add(base, 1, index, Tensor::full(index.shape(), 1 - smoothing, dtype));
}

}  // namespace

Var softmax(const Var& x, int64_t dim) {
  Tensor s = softmax(x.value(), dim);
  return record("softmax", s, {x}, [s = SavedOutput(s), dim](const Var& gy, Inputs in) {
    const Var y = s.get(in);
    in[0] = recording() ? y * (gy - sum(gy * y, {dim}, true)) : softmax_backward(gy.value(), y.value(), dim, false);
  });
}

Var log_softmax(const Var& x, int64_t dim) {
  Tensor s = log_softmax(x.value(), dim);
  return record("log_softmax", s, {x}, [s = SavedOutput(s), dim](const Var& gy, Inputs in) {
    const Var y = s.get(in);
    in[0] = recording() ? gy - exp(y) * sum(gy, {dim}, true) : softmax_backward(gy.value(), y.value(), dim, true);
  });
}

Var dropout(const Var& x, double p, const RandomKey& key) {
  return record("dropout", dropout(x.value(), p, key), {x},
                [p, key](const Var& gy, Inputs in) { in[0] = dropout(gy, p, key); });
}

Var cross_entropy(const Var& logits, const Tensor& labels, const CrossEntropyOptions& options) {
  check_labels(logits, labels);
  const double smoothing = options.label_smoothing;
  if (!(smoothing >= 0 && smoothing <= 1))
    fail(ErrorKind::value, "cross_entropy", "label_smoothing must be in [0, 1], but is ", smoothing);
  const Tensor index = unsqueeze(labels, 1);
  const Tensor log_p = log_softmax(logits.value(), 1);
  Tensor losses = neg(squeeze(gather(log_p, 1, index), 1));
  if (smoothing > 0) losses = losses * (1 - smoothing) - mean(log_p, {1}) * smoothing;
  return record("cross_entropy", reduced(losses, options.reduction), {logits},
                [logits = Saved(logits), index = Saved(index), smoothing, reduction = options.reduction,
                 share = share(losses, options.reduction)](const Var& gy, Inputs in) {
                  const Var& x = logits.get(in);
                  const Tensor target = target_distribution(index.get(in).value(), x.shape(), smoothing, x.dtype());
                  const Var g = reduction == Reduction::none ? unsqueeze(gy, 1) : gy * share;
                  in[0] = (softmax(x, 1) - target) * g;
                });
}

Var mse_loss(const Var& x, const Var& target, Reduction reduction) {
  if (!(x.shape() == target.shape()))
    fail(ErrorKind::shape, "mse_loss", "input and target must have the same shape, but are ", x.shape(), " and ",
         target.shape(), ". Reshape one: a broadcast would compare every pair");
  const Tensor losses = square(x.value() - target.value());
  return record("mse_loss", reduced(losses, reduction), {x, target},
                [x = Saved(x), target = Saved(target), share = share(losses, reduction)](const Var& gy, Inputs in) {
                  const Var g = (x.get(in) - target.get(in)) * (gy * (2 * share));
                  if (in.needs(0)) in[0] = g;
                  if (in.needs(1)) in[1] = neg(g);
                });
}

}  // namespace gradus
