// The 2-D convolution layers.
#pragma once

#include "layers/activation.h"
#include "layers/geometry.h"
#include "layers/module.h"

namespace gradus {

struct Conv2dOptions {
  Extent2d kernel = 1;
  Extent2d stride = 1;
  Padding padding = 0;  ///< a number, or Padding::same
  Extent2d dilation = 1;
  int64_t groups = 1;
  bool bias = true;
  Activation activation = Activation::none;  ///< relu runs inside the convolution
};

/// x [N, in, H, W] -> [N, out, H', W']; weight [out, in / groups, kh, kw], bias [out]. Conv2d(3, 96, {.kernel = 3}).
/// Initialized as PyTorch: uniform within 1 / sqrt(in / groups * kh * kw).
class Conv2d : public Module {
 public:
  Conv2d(int64_t in, int64_t out, const Conv2dOptions& options = {});
  Var forward(const Var& x) override;
  std::string describe() const override;
  int64_t macs(const Shape& input, const Shape& output) const override;

  const Parameter& weight() const { return weight_; }
  /// Undefined where the layer has none.
  const Parameter& bias() const { return bias_; }
  const Conv2dOptions& options() const { return options_; }

 private:
  int64_t in_, out_;
  Conv2dOptions options_;
  Parameter weight_, bias_;
};

struct ConvTranspose2dOptions {
  Extent2d kernel = 1;
  Extent2d stride = 1;
  Padding padding = 0;          ///< numbers: taken away from the result
  Extent2d output_padding = 0;  ///< added to the result at the bottom and right, less than the stride
  Extent2d dilation = 1;
  int64_t groups = 1;
  bool bias = true;
  Activation activation = Activation::none;
};

/// The transposed convolution, which enlarges by its stride: x [N, in, H, W] -> [N, out, H', W'], where H' = (H - 1)
/// stride - padding + dilation (kh - 1) + 1 + output_padding; weight [in, out / groups, kh, kw], bias [out]. What
/// doubles an image is ConvTranspose2d(64, 32, {.kernel = 4, .stride = 2, .padding = 1}). Initialized as PyTorch:
/// uniform within 1 / sqrt(out / groups * kh * kw).
class ConvTranspose2d : public Module {
 public:
  ConvTranspose2d(int64_t in, int64_t out, const ConvTranspose2dOptions& options = {});
  Var forward(const Var& x) override;
  std::string describe() const override;
  int64_t macs(const Shape& input, const Shape& output) const override;

  const Parameter& weight() const { return weight_; }
  /// Undefined where the layer has none.
  const Parameter& bias() const { return bias_; }
  const ConvTranspose2dOptions& options() const { return options_; }

 private:
  int64_t in_, out_;
  ConvTranspose2dOptions options_;
  Parameter weight_, bias_;
};

}  // namespace gradus
