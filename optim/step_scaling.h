// A trust region for steps of any rule: all of them are shortened together where the curvature along them is too large
// (Elsayed et al. 2024, section on step-size scaling).
#pragma once

#include "autograd/curvature.h"

namespace gradus::optim {

/// With the proposed step u = lr d of every parameter and a running average H of curvature: theta <- theta -
/// min(max_scale, sqrt(2 delta / sum H u^2)) u, so that the curvature term u^T diag(H) u / 2 of the loss is at most
/// delta. Weight decay is not scaled. With Adam this is AdamHesScale. Hypergradients see the step size that was made.
struct StepScaling {
  double delta = 1e-4;
  double max_scale = 1;
  double beta2 = 0.999;
  bool magnitudes = false;  ///< H averages |h|; otherwise it is the root of the average of h^2
  bool corrected = false;   ///< averages are divided by 1 - beta2^t. The authors do not: the average being small at
                            ///< first, the first step's curvature term is up to delta (1 - beta2)^(-1/2), 32 delta
  CurvatureOptions curvature = {};
};

}  // namespace gradus::optim
