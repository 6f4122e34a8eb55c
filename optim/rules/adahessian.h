// AdaHessian (Yao et al. 2021, arXiv 2006.00719): Adam with Hutchinson's estimate of curvature in the denominator.
#pragma once

#include "autograd/curvature.h"
#include "optim/rule.h"

namespace gradus::optim {

/// Adam's moments, the second of |v o H v|, which for a convolution is averaged over the positions of its kernel.
struct AdaHessian {
  double lr = 0.15;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-4;
  CurvatureOptions curvature = {.method = CurvatureMethod::hutchinson};

  static constexpr const char* name = "adahessian";
  Settings settings() const { return {{"lr", lr}, {"beta1", beta1}, {"beta2", beta2}, {"eps", eps}}; }
  std::unique_ptr<Rule> make(const Tensor& parameter) const;
};

}  // namespace gradus::optim
