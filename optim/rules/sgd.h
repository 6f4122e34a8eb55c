// Gradient descent, plain, with momentum, and with Nesterov's momentum, in PyTorch's convention.
#pragma once

#include "optim/rule.h"

namespace gradus::optim {

/// v <- momentum v + u, theta <- theta - lr v (the learning rate stays outside v); nesterov steps along u + momentum v.
/// Without momentum nothing is remembered.
struct Sgd {
  double lr = 0.01;
  double momentum = 0;
  bool nesterov = false;

  static constexpr const char* name = "sgd";
  Settings settings() const { return {{"lr", lr}, {"momentum", momentum}}; }
  std::unique_ptr<Rule> make(const Tensor& parameter) const;
};

}  // namespace gradus::optim
