// Lion (Chen et al. 2023, arXiv 2302.06675, algorithm 2).
#pragma once

#include "optim/rule.h"

namespace gradus::optim {

/// d = sign(beta1 m + (1 - beta1) u), then m <- beta2 m + (1 - beta2) u. Every element moves by lr: the published rates
/// are three to ten times smaller than Adam's. Its decay is decoupled: .weight_decay({.mode = DecayMode::decoupled}).
struct Lion {
  double lr = 1e-4;
  double beta1 = 0.9;
  double beta2 = 0.99;

  static constexpr const char* name = "lion";
  Settings settings() const { return {{"lr", lr}, {"beta1", beta1}, {"beta2", beta2}}; }
  std::unique_ptr<Rule> make(const Tensor& parameter) const;
};

}  // namespace gradus::optim
