// AdaGrad (Duchi, Hazan and Singer 2011), in PyTorch's convention.
#pragma once

#include "optim/rule.h"

namespace gradus::optim {

/// s <- s + u^2, d = u / (sqrt(s) + eps), divided by 1 + (t - 1) lr_decay.
struct AdaGrad {
  double lr = 0.01;
  double lr_decay = 0;
  double eps = 1e-10;
  double initial_accumulator = 0;

  static constexpr const char* name = "adagrad";
  Settings settings() const { return {{"lr", lr}, {"lr_decay", lr_decay}, {"eps", eps}}; }
  std::unique_ptr<Rule> make(const Tensor& parameter) const;
};

}  // namespace gradus::optim
