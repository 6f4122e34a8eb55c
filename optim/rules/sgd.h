// Gradient descent, plain, with momentum, and with Nesterov's momentum, in PyTorch's convention.
#pragma once

#include "optim/rule.h"

namespace gradus::optim {

/// v <- momentum v + u, theta <- theta - lr v (the learning rate stays outside v); nesterov steps along u + momentum v.
/// Without momentum nothing is remembered, and there is no hyperparameter "momentum" to change later.
struct Sgd {
  double lr = 0.01;
  double momentum = 0;
  bool nesterov = false;

  static constexpr const char* name = "sgd";
  bool remembers() const { return momentum != 0 || nesterov; }
  Settings settings() const {
    return remembers() ? Settings{{"lr", lr}, {"momentum", momentum}} : Settings{{"lr", lr}};
  }
  std::unique_ptr<Rule> make(const Tensor& parameter) const;
};

}  // namespace gradus::optim
