// A penalty on the length of the gradient, by one more forward and backward pass at a point uphill (Zhao et al. 2022,
// arXiv 2202.03599), and sharpness-aware minimization as its special case (Foret et al. 2021, arXiv 2010.01412).
#pragma once

namespace gradus::optim {

/// With d = g (of the parameter) or d = B g (of the intrinsic variable z, p = P z, B = P P^T: the preconditioner's and
/// the rule's scaling before the step) and r = radius / |d|, over all parameters together, the optimizer is given
///
///   (1 - mix) g + mix grad L(p + r d).
///
/// As (grad L(p + r d) - g) / r tends to H d, this is the gradient of L + (rate / 2) |grad L|^2 for mix = rate / r: the
/// weight of the penalty grows with |d|. mix = 1 is SAM. One of rate and mix is above 0.
///
/// The second pass runs the model again: a batch normalization's running statistics see it too, those of Bnp do not.
struct GradientPenalty {
  double radius = 0.05;
  double rate = 0;         ///< mix = rate |d| / radius
  double mix = 0;          ///< used where rate is 0
  bool intrinsic = false;  ///< d = B g
};

/// SAM: the gradient at the point uphill.
constexpr GradientPenalty sam(double radius = 0.05) { return {.radius = radius, .mix = 1}; }

}  // namespace gradus::optim
