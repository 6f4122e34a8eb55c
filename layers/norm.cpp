// Normalization layers.
#include "layers/norm.h"

#include <string>
#include <utility>

#include "core/check_defined.h"
#include "core/error.h"
#include "core/ranges.h"

namespace gradus {
namespace {

/// What `out` and `in` say of a norm's parameters: one scale and one shift per channel.
ParamInfo norm_info(ParamRole role, int64_t channels) {
  return {.layer = LayerKind::norm, .role = role, .out = channels, .in = 1};
}

void check_eps(const char* name, double eps) {
  if (!is_not_negative(eps)) fail(ErrorKind::value, name, "eps must be finite and not negative, got ", eps);
}

}  // namespace

// ---- Batch ---------------------------------------------------------------------------------------------------------

namespace {

/// The inputs of a layer for these ranks: "[N,3] or [N,3,L]".
std::string taken(int ranks, int64_t channels) {
  std::string list;
  for (const auto& [rank, rest] : {std::pair{2, ""}, {3, ",L"}, {4, ",H,W"}, {5, ",D,H,W"}})
    if (ranks >> rank & 1) list += text(list.empty() ? "" : " or ", "[N,", channels, rest, "]");
  return list;
}

}  // namespace

BatchNorm::BatchNorm(const char* name, int64_t channels, int ranks, const BatchNormOptions& options)
    : name_(name), channels_(channels), ranks_(ranks), options_(options) {
  if (channels < 1) fail(ErrorKind::value, name, "channels must be positive, got ", channels);
  check_eps(name, options.eps);
  if (const double momentum = options.momentum.value_or(0); !(momentum >= 0 && momentum <= 1))
    fail(ErrorKind::value, name, "momentum must be in [0, 1], got ", momentum);
  if (options.affine) {
    weight_ = parameter("weight", Tensor::ones({channels}), norm_info(ParamRole::scale, channels));
    bias_ = parameter("bias", Tensor::zeros({channels}), norm_info(ParamRole::bias, channels));
  }
  if (options.track_running_stats) {
    mean_ = buffer("running_mean", Tensor::zeros({channels}));
    variance_ = buffer("running_var", Tensor::ones({channels}));
    batches_ = buffer("num_batches_tracked", Tensor::zeros({}, DType::int64));
  }
}

void BatchNorm::check(const Tensor& x) const {
  check::defined(name_, x);
  if ((ranks_ >> x.rank() & 1) == 0)
    fail(ErrorKind::shape, name_, "the layer takes ", taken(ranks_, channels_), ", got ", x.shape());
  if (x.size(1) != channels_)
    fail(ErrorKind::shape, name_, "the layer normalizes ", channels_, " channels, got ", x.shape());
}

void BatchNorm::track(const BatchStatistics& statistics, int64_t count) {
  binary_(BinaryOp::add, batches_, Tensor::ones({}, DType::int64));
  const double weight = options_.momentum ? *options_.momentum : 1 / batches_.item();
  const double unbiased = static_cast<double>(count) / static_cast<double>(count - 1);
  axpby_(weight, statistics.mean, 1 - weight, mean_);
  axpby_(weight * unbiased, statistics.variance, 1 - weight, variance_);
}

Var BatchNorm::forward(const Var& x) {
  check(x.value());
  if (!training() && mean_.defined()) return batch_norm_apply(x, weight_, bias_, mean_, variance_, options_.eps);
  const int64_t count = x.value().numel() / channels_;
  const bool tracked = training() && mean_.defined();
  if (count < 2)
    fail(ErrorKind::shape, name_, training() ? "training needs" : "without running averages evaluation too needs",
         " more than one value per channel, got ", x.shape(),
         training() && mean_.defined() ? ". After eval() the running averages stand for the batch's" : "");
  if (!tracked) return batch_norm(x, weight_, bias_, options_.eps);
  BatchStatistics statistics;
  Var y = batch_norm(x, weight_, bias_, options_.eps, &statistics);
  track(statistics, count);
  return y;
}

std::string BatchNorm::describe() const { return text(name_, "(", channels_, options_.affine ? ")" : ", no affine)"); }

// ---- Layer ---------------------------------------------------------------------------------------------------------

LayerNorm::LayerNorm(const Shape& normalized, const NormOptions& options) : normalized_(normalized), options_(options) {
  if (normalized.empty() || numel(normalized) < 1)
    fail(ErrorKind::value, "LayerNorm", "the normalized shape must have elements, got ", normalized);
  check_eps("LayerNorm", options.eps);
  if (!options.affine) return;
  weight_ = parameter("weight", Tensor::ones(normalized), norm_info(ParamRole::scale, numel(normalized)));
  bias_ = parameter("bias", Tensor::zeros(normalized), norm_info(ParamRole::bias, numel(normalized)));
}

Var LayerNorm::forward(const Var& x) { return layer_norm(x, normalized_, weight_, bias_, options_.eps); }

std::string LayerNorm::describe() const {
  return text("LayerNorm(", normalized_, options_.affine ? ")" : ", no affine)");
}

// ---- Group ---------------------------------------------------------------------------------------------------------

GroupNorm::GroupNorm(int64_t groups, int64_t channels, const NormOptions& options)
    : groups_(groups), channels_(channels), options_(options) {
  if (groups < 1 || channels < 1 || channels % groups != 0)
    fail(ErrorKind::value, "GroupNorm", groups, " groups do not divide ", channels, " channels");
  check_eps("GroupNorm", options.eps);
  if (!options.affine) return;
  weight_ = parameter("weight", Tensor::ones({channels}), norm_info(ParamRole::scale, channels));
  bias_ = parameter("bias", Tensor::zeros({channels}), norm_info(ParamRole::bias, channels));
}

Var GroupNorm::forward(const Var& x) {
  check::defined("GroupNorm", x.value());
  if (x.rank() < 2 || x.size(1) != channels_)
    fail(ErrorKind::shape, "GroupNorm", "the layer normalizes ", channels_, " channels, got ", x.shape());
  return group_norm(x, groups_, weight_, bias_, options_.eps);
}

std::string GroupNorm::describe() const {
  return text("GroupNorm(", groups_, ", ", channels_, options_.affine ? ")" : ", no affine)");
}

}  // namespace gradus
