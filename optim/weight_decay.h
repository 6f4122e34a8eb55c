// Weight decay: how much, of which parameters, and where in the step it enters.
#pragma once

#include <optional>

#include "optim/predicate.h"

namespace gradus::optim {

/// The FOP paper names no decay, so each reading is offered; methods that are compared must use the same one.
enum class DecayMode {
  coupled,               ///< g + rate theta before the preconditioner: L2 regularization, seen by the hypergradient too
  after_preconditioner,  ///< P g + rate theta, into the rule
  decoupled              ///< theta <- (1 - lr rate) theta, beside the rule (AdamW)
};

struct WeightDecay {
  double rate = 0;
  /// Not given: decoupled with a rule that has a decay of its own (AdamW), else coupled.
  std::optional<DecayMode> mode = std::nullopt;
  Predicate where = every_parameter;
};

}  // namespace gradus::optim
