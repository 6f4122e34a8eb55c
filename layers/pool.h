// Pooling layers for [N, C, H, W], and their opposite.
#pragma once

#include <optional>

#include "layers/geometry.h"
#include "layers/module.h"

namespace gradus {

struct PoolOptions {
  Extent2d kernel = 2;
  std::optional<Extent2d> stride = {};  ///< the kernel where not given
  Padding padding = 0;                  ///< a number, or Padding::same
};

class MaxPool2d : public Module {
 public:
  explicit MaxPool2d(const PoolOptions& options = {});
  Var forward(const Var& x) override;
  std::string describe() const override;

 private:
  PoolOptions options_;
};

struct AvgPoolOptions {
  Extent2d kernel = 2;
  std::optional<Extent2d> stride = {};  ///< the kernel where not given
  Padding padding = 0;                  ///< a number, or Padding::same
  bool count_padding = true;            ///< as zeros in the mean, like PyTorch; TensorFlow leaves padding out
};

class AvgPool2d : public Module {
 public:
  explicit AvgPool2d(const AvgPoolOptions& options = {});
  Var forward(const Var& x) override;
  std::string describe() const override;

 private:
  AvgPoolOptions options_;
};

/// The mean over height and width: [N, C, H, W] -> [N, C].
class GlobalAvgPool2d : public Module {
 public:
  Var forward(const Var& x) override { return global_avg_pool2d(x); }
  std::string describe() const override { return "GlobalAvgPool2d"; }
};

/// Each pixel becomes a square of factor x factor: [N, C, H, W] -> [N, C, factor H, factor W].
class UpsampleNearest2d : public Module {
 public:
  explicit UpsampleNearest2d(int64_t factor = 2);
  Var forward(const Var& x) override { return upsample_nearest2d(x, factor_); }
  std::string describe() const override;

 private:
  int64_t factor_;
};

}  // namespace gradus
