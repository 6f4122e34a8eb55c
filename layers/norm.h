// Normalization layers; parameter and buffer names, defaults and running averages are PyTorch's.
#pragma once

#include <optional>

#include "layers/module.h"

namespace gradus {

struct BatchNormOptions {
  double eps = 1e-5;                     ///< added to variances: 0 or more, and finite
  std::optional<double> momentum = 0.1;  ///< weight of a batch in running averages, in [0, 1]; none: their plain mean
  bool affine = true;                    ///< a trained scale ("weight") and shift ("bias") per channel
  bool track_running_stats = true;       ///< without them evaluation too uses the batch's statistics
};

/// Per channel of [N, C, ...]: by the batch's statistics in training, by their running averages in evaluation (the
/// variance that is averaged is the unbiased one). Training throws where a channel has one value only, and so does
/// evaluation without running averages, as in PyTorch.
class BatchNorm : public Module {
 public:
  Var forward(const Var& x) override;
  std::string describe() const override;

 protected:
  BatchNorm(const char* name, int64_t channels, int ranks, const BatchNormOptions& options);

 private:
  void check(const Tensor& x) const;
  void track(const BatchStatistics& statistics, int64_t count);

  const char* name_;
  int64_t channels_;
  int ranks_;  ///< bit r is set where inputs of rank r are taken
  BatchNormOptions options_;
  Parameter weight_, bias_;
  Tensor mean_, variance_, batches_;
};

/// For [N, C, H, W].
class BatchNorm2d : public BatchNorm {
 public:
  explicit BatchNorm2d(int64_t channels, const BatchNormOptions& options = {})
      : BatchNorm("BatchNorm2d", channels, 1 << 4, options) {}
};

/// For [N, C] and [N, C, L].
class BatchNorm1d : public BatchNorm {
 public:
  explicit BatchNorm1d(int64_t channels, const BatchNormOptions& options = {})
      : BatchNorm("BatchNorm1d", channels, 1 << 2 | 1 << 3, options) {}
};

struct NormOptions {
  double eps = 1e-5;   ///< added to variances: 0 or more, and finite
  bool affine = true;  ///< a trained scale ("weight") and shift ("bias")
};

/// Over the trailing dimensions, which must be `normalized`.
class LayerNorm : public Module {
 public:
  explicit LayerNorm(const Shape& normalized, const NormOptions& options = {});
  explicit LayerNorm(int64_t features, const NormOptions& options = {}) : LayerNorm(Shape{features}, options) {}
  Var forward(const Var& x) override;
  std::string describe() const override;

 private:
  Shape normalized_;
  NormOptions options_;
  Parameter weight_, bias_;
};

/// Over each of `groups` groups of neighboring channels of [N, C, ...].
class GroupNorm : public Module {
 public:
  GroupNorm(int64_t groups, int64_t channels, const NormOptions& options = {});
  Var forward(const Var& x) override;
  std::string describe() const override;

 private:
  int64_t groups_, channels_;
  NormOptions options_;
  Parameter weight_, bias_;
};

}  // namespace gradus
