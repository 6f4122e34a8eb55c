// Dropout (Srivastava et al. 2014), scaled in training so that evaluation is the identity.
#pragma once

#include "layers/module.h"

namespace gradus {

/// Zeroes each element with probability p and scales the others by 1 / (1 - p). Masks are drawn as Module::seed() and
/// Module::set_step() describe.
class Dropout : public Module {
 public:
  explicit Dropout(double p = 0.5);
  Var forward(const Var& x) override;
  std::string describe() const override;

 private:
  double p_;
};

}  // namespace gradus
