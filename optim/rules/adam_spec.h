// Adam's coefficients from hyperparameters, for the rules that share its moments. Internal to optim.
#pragma once

#include <cmath>

#include "core/ops.h"
#include "optim/settings.h"

namespace gradus::optim {

/// Of step 1, 2, ...
inline AdamSpec adam_spec(const Settings& settings, int64_t step) {
  const double beta1 = settings.at("beta1"), beta2 = settings.at("beta2");
  return {.beta1 = beta1,
          .beta2 = beta2,
          .eps = settings.at("eps"),
          .correction1 = 1 - std::pow(beta1, step),
          .correction2 = 1 - std::pow(beta2, step)};
}

}  // namespace gradus::optim
