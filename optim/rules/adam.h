// Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), in PyTorch's convention.
#pragma once

#include "optim/rule.h"

namespace gradus::optim {

/// m <- beta1 m + (1 - beta1) u, v <- beta2 v + (1 - beta2) u^2,
/// d = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps): eps outside the root, after the bias correction.
struct Adam {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;

  static constexpr const char* name = "adam";
  Settings settings() const { return {{"lr", lr}, {"beta1", beta1}, {"beta2", beta2}, {"eps", eps}}; }
  std::unique_ptr<Rule> make(const Tensor& parameter) const;
};

/// Adam with decoupled decay: theta <- (1 - lr weight_decay) theta - lr d. The rate of the builder's
/// .weight_decay(...) replaces this one.
struct AdamW {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;

  static constexpr const char* name = "adamw";
  Settings settings() const {
    return {{"lr", lr}, {"beta1", beta1}, {"beta2", beta2}, {"eps", eps}, {"weight_decay", weight_decay}};
  }
  std::unique_ptr<Rule> make(const Tensor& parameter) const;
};

}  // namespace gradus::optim
