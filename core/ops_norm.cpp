// Normalization, softmax and dropout.
#include "core/error.h"
#include "core/ops.h"
#include "core/ops_check.h"
#include "core/ranges.h"

namespace gradus {
namespace {

/// x [N, C, ...] with at least one element per channel, and vectors of C elements.
int64_t batch_norm_channels(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check::activation(op, x);
  if (x.rank() < 2) fail(ErrorKind::shape, op, "input needs at least 2 dimensions [N,C,...], got ", x.shape());
  const int64_t channels = x.shape()[1];
  check::optional_vector(op, "the weight", weight, channels, x);
  check::optional_vector(op, "the bias", bias, channels, x);
  return channels;
}

void statistics(const char* op, const Tensor& mean, const Tensor& rstd, const Shape& shape, const Tensor& x) {
  check::shape(op, "the mean", mean, shape);
  check::shape(op, "the reciprocal standard deviation", rstd, shape);
  check::parameter(op, "the mean", mean, x);
  check::parameter(op, "the reciprocal standard deviation", rstd, x);
}

void layer_norm_input(const char* op, const Tensor& x) {
  check::floating(op, x);
  check::rank(op, "the input", x, 2, "[rows,columns]");
  if (x.shape()[1] == 0) fail(ErrorKind::shape, op, "rows of ", x.shape(), " have no elements to normalize");
}

void group_norm_input(const char* op, const Tensor& x, int64_t groups) {
  check::floating(op, x);
  if (x.rank() < 2 || groups < 1 || x.shape()[1] % groups != 0)
    fail(ErrorKind::shape, op, "input [N, C, ...] needs a number of channels that ", groups, " groups divide, got ",
         x.shape());
  if (x.shape()[0] > 0 && x.numel() == 0)
    fail(ErrorKind::shape, op, "the groups of ", x.shape(), " have no elements to normalize");
}

void positive(const char* op, double eps) {
  if (!(eps >= 0)) fail(ErrorKind::value, op, "eps must not be negative, got ", eps);
}

Tensor softmax(const char* op, const Tensor& x, int64_t dim, bool log) {
  check::floating(op, x);
  const int d = normalize_dim(op, dim, x.rank());
  Tensor y = Tensor::empty_like(x);
  kernels::softmax(x, d, log, y);
  return y;
}

}  // namespace

Normalized batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  const int64_t channels = batch_norm_channels("batch_norm", x, weight, bias);
  positive("batch_norm", eps);
  if (x.numel() == 0) fail(ErrorKind::shape, "batch_norm", "a batch of ", x.shape(), " has no statistics");
  const DType dtype = check::parameter_dtype(x.dtype());
  Normalized out = {Tensor::empty_like(x), Tensor::empty({channels}, dtype), Tensor::empty({channels}, dtype)};
  kernels::batch_norm_train(x, weight, bias, eps, out.values, out.mean, out.rstd);
  return out;
}

Tensor batch_norm_apply(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean,
                        const Tensor& rstd) {
  const int64_t channels = batch_norm_channels("batch_norm_apply", x, weight, bias);
  statistics("batch_norm_apply", mean, rstd, {channels}, x);
  Tensor y = Tensor::empty_like(x);
  if (x.numel() > 0) kernels::batch_norm_apply(x, weight, bias, mean, rstd, y);
  return y;
}

NormGradients batch_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                                  const Tensor& rstd) {
  const char* op = "batch_norm_backward";
  const int64_t channels = batch_norm_channels(op, x, weight, {});
  check::shape(op, "the gradient", gy, x.shape());
  check::same_dtype(op, x, gy);
  statistics(op, mean, rstd, {channels}, x);
  if (x.numel() == 0) fail(ErrorKind::shape, op, "a batch of ", x.shape(), " has no statistics");
  const DType dtype = check::parameter_dtype(x.dtype());
  NormGradients out = {Tensor::empty_like(x), Tensor::empty({channels}, dtype), Tensor::empty({channels}, dtype)};
  kernels::batch_norm_backward(gy, x, weight, mean, rstd, out.input, out.weight, out.bias);
  return out;
}

Normalized layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  layer_norm_input("layer_norm", x);
  positive("layer_norm", eps);
  const int64_t rows = x.shape()[0], columns = x.shape()[1];
  check::optional_vector("layer_norm", "the weight", weight, columns, x);
  check::optional_vector("layer_norm", "the bias", bias, columns, x);
  Normalized out = {Tensor::empty_like(x), Tensor::empty({rows}, x.dtype()), Tensor::empty({rows}, x.dtype())};
  kernels::layer_norm_forward(x, weight, bias, eps, out.values, out.mean, out.rstd);
  return out;
}

NormGradients layer_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                                  const Tensor& rstd) {
  const char* op = "layer_norm_backward";
  layer_norm_input(op, x);
  const int64_t rows = x.shape()[0], columns = x.shape()[1];
  check::shape(op, "the gradient", gy, x.shape());
  check::same_dtype(op, x, gy);
  check::optional_vector(op, "the weight", weight, columns, x);
  statistics(op, mean, rstd, {rows}, x);
  NormGradients out = {Tensor::empty_like(x), Tensor::empty({columns}, x.dtype()), Tensor::empty({columns}, x.dtype())};
  kernels::layer_norm_backward(gy, x, weight, mean, rstd, out.input, out.weight, out.bias);
  return out;
}

Normalized group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps) {
  group_norm_input("group_norm", x, groups);
  positive("group_norm", eps);
  check::optional_vector("group_norm", "the weight", weight, x.shape()[1], x);
  check::optional_vector("group_norm", "the bias", bias, x.shape()[1], x);
  const Shape statistics = {x.shape()[0], groups};
  Normalized out = {Tensor::empty_like(x), Tensor::empty(statistics, x.dtype()), Tensor::empty(statistics, x.dtype())};
  kernels::group_norm_forward(x, weight, bias, eps, out.values, out.mean, out.rstd);
  return out;
}

NormGradients group_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                                  const Tensor& rstd) {
  const char* op = "group_norm_backward";
  check::rank(op, "the mean", mean, 2, "[N,G]");
  const int64_t groups = mean.shape()[1];
  group_norm_input(op, x, groups);
  check::shape(op, "the gradient", gy, x.shape());
  check::same_dtype(op, x, gy);
  check::optional_vector(op, "the weight", weight, x.shape()[1], x);
  statistics(op, mean, rstd, {x.shape()[0], groups}, x);
  const Shape channels = {x.shape()[1]};
  NormGradients out = {Tensor::empty_like(x), Tensor::empty(channels, x.dtype()), Tensor::empty(channels, x.dtype())};
  kernels::group_norm_backward(gy, x, weight, contiguous(mean), contiguous(rstd), out.input, out.weight, out.bias);
  return out;
}

Tensor softmax(const Tensor& x, int64_t dim) { return softmax("softmax", x, dim, false); }
Tensor log_softmax(const Tensor& x, int64_t dim) { return softmax("log_softmax", x, dim, true); }

Tensor softmax_backward(const Tensor& gy, const Tensor& y, int64_t dim, bool log) {
  check::floating("softmax_backward", y);
  check::shape("softmax_backward", "the gradient", gy, y.shape());
  check::same_dtype("softmax_backward", y, gy);
  const int d = normalize_dim("softmax_backward", dim, y.rank());
  Tensor gx = Tensor::empty_like(y);
  kernels::softmax_backward(gy, y, d, log, gx);
  return gx;
}

namespace {

void check_cross_entropy(const char* op, const Tensor& x, const Tensor& labels) {
  check::floating(op, x);
  if (x.rank() != 2 || x.shape()[1] == 0) fail(ErrorKind::shape, op, "the logits must be [N, K], got ", x.shape());
  check::shape(op, "the labels", labels, {x.shape()[0]});
  if (labels.dtype() != DType::int64) fail(ErrorKind::dtype, op, "the labels must be int64, got ", labels.dtype());
}

}  // namespace

CrossEntropy cross_entropy(const Tensor& x, const Tensor& labels, double smoothing) {
  check_cross_entropy("cross_entropy", x, labels);
  CrossEntropy out = {Tensor::empty(labels.shape(), x.dtype()), Tensor::empty({x.size(0), 2}, DType::float64)};
  kernels::cross_entropy(x, labels, smoothing, out.losses, out.normalizers);
  return out;
}

Tensor cross_entropy_backward(const Tensor& gy, const Tensor& x, const Tensor& labels, const Tensor& normalizers,
                              double smoothing, double share) {
  check_cross_entropy("cross_entropy_backward", x, labels);
  check::same_dtype("cross_entropy_backward", x, gy);
  const Tensor each = expand(gy, labels.shape());
  check::shape("cross_entropy_backward", "the normalizers", normalizers, {x.size(0), 2});
  if (normalizers.dtype() != DType::float64)
    fail(ErrorKind::dtype, "cross_entropy_backward", "the normalizers must be float64, got ", normalizers.dtype());
  Tensor gx = Tensor::empty_like(x);
  kernels::cross_entropy_backward(each, x, labels, contiguous(normalizers), smoothing, share, gx);
  return gx;
}

Tensor dropout(const Tensor& x, double p, const RandomKey& key) {
  check::activation("dropout", x);
  if (!is_fraction(p)) fail(ErrorKind::value, "dropout", "the probability to drop must lie in [0, 1), got ", p);
  Tensor out = Tensor::empty_like(x);
  kernels::dropout(key, p, x, out);
  return out;
}

}  // namespace gradus
