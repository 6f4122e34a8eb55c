#include "optim/bnp_layer.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/ops.h"

namespace gradus::optim {

BnpLayer::BnpLayer(const Parameter& weight, const Bnp& options)
    : info_(weight.info()),
      options_(options),
      mean_(Tensor::zeros({info_.in * info_.groups}, DType::float64)),
      variance_(Tensor::ones({info_.in * info_.groups}, DType::float64)) {}

void BnpLayer::see(const Tensor& input) {
  if (!observes_) return;
  // Channels last, as rows; a dense layer's input has its features there.
  const bool image = info_.layer == LayerKind::conv;
  const int64_t channels = input.size(image ? 1 : -1);
  if (channels != mean_.size(0))
    fail(ErrorKind::shape, "bnp", "'", info_.name, "' is for ", mean_.size(0),
         " input channels, but was shown an input ", input.shape());
  const Tensor rows = cast(reshape(image ? permute(input, {0, 2, 3, 1}) : input, {-1, channels}), DType::float64);
  rows_ = (std::exchange(begins_, false) ? 0 : rows_) + static_cast<double>(rows.size(0));
  const double keep = options_.momentum;
  const Tensor center = mean(rows, {0});
  if (!all_finite(center))
    fail(ErrorKind::value, "bnp", "'", info_.name, "' was shown an input with inf or nan, which would stay in the ",
         "running statistics");
  axpby_(1 - keep, center, keep, mean_);
  weight_ = keep * weight_ + (1 - keep);
  axpby_(1 - keep, mean(square(rows - mean_ * (1 / weight_)), {0}), keep, variance_);
}

void BnpLayer::condition(Tensor& weight, Tensor& bias) {
  if (rows_ == 0)
    fail(ErrorKind::value, "bnp", "no layer has shown the input of '", info_.name,
         "'; in its forward it must call show_input(x) of the weight, in training");
  begins_ = true;
  // [groups, out per group, in per group, taps]
  const int64_t groups = info_.groups, taps = info_.kernel[0] * info_.kernel[1];
  const auto per_input = [&](const Tensor& x) { return reshape(x, {groups, 1, info_.in, 1}); };
  const auto per_output = [&](const Tensor& x) { return reshape(x, {groups, info_.out / groups, 1, 1}); };
  const double fan_in = static_cast<double>(info_.in * taps);
  const double q = options_.scaled ? std::max(1.0, fan_in / rows_) : 1;
  const Tensor v = (variance_ + options_.relative * max(variance_).item() + options_.absolute) * q;
  const Tensor g = reshape(cast(weight, DType::float64), {groups, info_.out / groups, info_.in, taps});
  const Tensor gb = cast(bias, DType::float64);
  const Tensor w = (g - per_input(mean_) * per_output(gb)) / per_input(v);
  const Tensor b = gb / q - reshape(sum(w * per_input(mean_), {2, 3}), {info_.out});
  weight = cast(reshape(w, weight.shape()), weight.dtype());
  bias = cast(b, bias.dtype());
}

void BnpLayer::slots(Slots& slots) {
  slots.add("mean", mean_);
  slots.add("variance", variance_);
  slots.add("weight", weight_);
  slots.add("rows", rows_);
}

}  // namespace gradus::optim
