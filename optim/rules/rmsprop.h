// RMSProp (Tieleman and Hinton 2012), in PyTorch's convention.
#pragma once

#include "optim/rule.h"

namespace gradus::optim {

/// v <- alpha v + (1 - alpha) u^2, d = u / (sqrt(v) + eps); centered subtracts the squared running mean of u from v;
/// with momentum b <- momentum b + d is the direction (without, there is no such hyperparameter).
struct RmsProp {
  double lr = 0.01;
  double alpha = 0.99;
  double eps = 1e-8;
  double momentum = 0;
  bool centered = false;

  static constexpr const char* name = "rmsprop";
  Settings settings() const {
    Settings settings{{"lr", lr}, {"alpha", alpha}, {"eps", eps}};
    if (momentum != 0) settings.set("momentum", momentum);
    return settings;
  }
  std::unique_ptr<Rule> make(const Tensor& parameter) const;
};

}  // namespace gradus::optim
