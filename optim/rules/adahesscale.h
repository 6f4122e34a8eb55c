// AdaHesScale (Elsayed et al. 2024, arXiv 2406.03276): Adam with curvature from a backward sweep in the denominator.
#pragma once

#include "autograd/curvature.h"
#include "optim/rule.h"

namespace gradus::optim {

/// m <- beta1 m + (1 - beta1) u, d = (m / (1 - beta1^t)) / denominator, with v-hat = v / (1 - beta2^t) and h the
/// diagonal of the Hessian that Optimizer::backward() estimates.
struct AdaHesScale {
  enum class Denominator {
    rms,   ///< v averages h^2; sqrt(v-hat) + eps
    root,  ///< v averages |h|; sqrt(v-hat) + eps
    plain  ///< v averages |h|; v-hat + eps
  };
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  Denominator denominator = Denominator::rms;
  CurvatureOptions curvature = {};  ///< hesscale_gn: AdaHesScaleGN

  static constexpr const char* name = "adahesscale";
  Settings settings() const { return {{"lr", lr}, {"beta1", beta1}, {"beta2", beta2}, {"eps", eps}}; }
  std::unique_ptr<Rule> make(const Tensor& parameter) const;
};

}  // namespace gradus::optim
