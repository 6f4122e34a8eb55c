// Attention over a sequence, for transformers.
#pragma once

#include "layers/linear.h"

namespace gradus {

struct SelfAttentionOptions {
  int64_t heads = 1;    ///< divides the features
  bool causal = false;  ///< a position sees itself and those before it
};

/// [N, T, features] -> the same: heads next to each other, each features / heads wide (Vaswani et al. 2017, section
/// 3.2). Parameters and initial values are those of PyTorch's MultiheadAttention: in_proj_weight [3 features,
/// features], of queries, keys and values in this order, in_proj_bias, out_proj.weight and out_proj.bias.
class SelfAttention : public Module {
 public:
  explicit SelfAttention(int64_t features, const SelfAttentionOptions& options = {});
  Var forward(const Var& x) override;
  std::string describe() const override;
  int64_t macs(const Shape& input, const Shape& output) const override;

 private:
  int64_t features_;
  SelfAttentionOptions options_;
  Parameter in_weight_, in_bias_;
  Linear& out_;
};

}  // namespace gradus
