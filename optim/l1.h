// L1 penalties: of the parameter, or of the intrinsic variable z that the rule's own scaling defines. The L2 penalties
// of both are WeightDecay's modes: coupled is that of the parameter, decoupled that of z, whatever the preconditioner.
#pragma once

#include "optim/predicate.h"

namespace gradus::optim {

/// A rule that multiplies gradients by B = P P^T descends in z, where p = P z (Ye 2024). P = diag(B)^(1/2) here.
enum class L1Mode {
  coupled,             ///< rate |p|_1: g + rate sign(p), before the preconditioner
  proximal,            ///< rate |p|_1 after the step: p towards 0 by lr rate B_ii, and not beyond
  decoupled,           ///< rate |z|_1: p <- p - lr B g - lr rate P_ii sign(p), as AdamW's decay is |z|^2
  decoupled_proximal,  ///< rate |z|_1 after the step: p towards 0 by lr rate P_ii, and not beyond
};

/// The rate is a hyperparameter, "l1". All modes but coupled need a rule with a diagonal B, which Sgd (B = 1), Adam,
/// AdamW, RmsProp and AdaGrad have, and no learned preconditioner on the same parameter.
struct L1 {
  double rate = 0;
  L1Mode mode = L1Mode::coupled;
  Predicate where = every_parameter;
};

}  // namespace gradus::optim
