// The fully connected layer.
#pragma once

#include "layers/module.h"

namespace gradus {

struct LinearOptions {
  bool bias = true;
};

/// y = x W^T + b for x [..., in]; weight [out, in], bias [out]. Initialized as PyTorch: uniform within 1 / sqrt(in).
class Linear : public Module {
 public:
  Linear(int64_t in, int64_t out, const LinearOptions& options = {});
  Var forward(const Var& x) override;
  std::string describe() const override;
  int64_t macs(const Shape& input, const Shape& output) const override;

  const Parameter& weight() const { return weight_; }
  /// Undefined where the layer has none.
  const Parameter& bias() const { return bias_; }

 private:
  int64_t in_, out_;
  Parameter weight_, bias_;
};

}  // namespace gradus
