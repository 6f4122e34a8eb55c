// AdaHesScale as its denominator says.
#include "optim/rules/adahesscale.h"

#include "optim/rules/curvature_rule.h"

namespace gradus::optim {

std::unique_ptr<Rule> AdaHesScale::make(const Tensor& parameter) const {
  return std::make_unique<CurvatureRule>(parameter, denominator != Denominator::rms, denominator != Denominator::plain);
}

}  // namespace gradus::optim
