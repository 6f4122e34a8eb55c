// Prodigy (Mishchenko and Defazio 2023, arXiv 2306.06101): Adam with a learning rate that it estimates.
#pragma once

#include "optim/rule.h"

namespace gradus::optim {

/// Adam in units of d, an estimate from below of the distance from the start to the solution that never falls:
/// d <- max(d, r / |s|_1), r <- beta3 r + (d / d0) d lr <u, p0 - p>, s <- beta3 s + (d / d0) d lr u, beta3 =
/// sqrt(beta2); m and v take d u, and the step is d lr m / (sqrt(v) + d eps). lr scales the estimate and stays 1, but
/// for schedules. Each parameter has an estimate of its own: the published sums r and |s|_1 run over all parameters of
/// a group instead, and are these for a group of one.
struct Prodigy {
  double lr = 1;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double d0 = 1e-6;

  static constexpr const char* name = "prodigy";
  Settings settings() const { return {{"lr", lr}, {"beta1", beta1}, {"beta2", beta2}, {"eps", eps}}; }
  std::unique_ptr<Rule> make(const Tensor& parameter) const;
};

}  // namespace gradus::optim
