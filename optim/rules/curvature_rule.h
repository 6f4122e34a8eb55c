// What the rules that divide by curvature share: Adam whose second moment averages curvature. Internal to optim.
#pragma once

#include "optim/rule.h"

namespace gradus::optim {

class CurvatureRule : public FusedRule {
 public:
  /// magnitudes: v averages |h|, not h^2; root: d divides by the root of v, not by v.
  CurvatureRule(const Tensor& parameter, bool magnitudes, bool root);

  void set_curvature(const Tensor& h) override { curvature_ = h; }
  bool fuses() const override { return curvature_.strides() == first_moment_.strides(); }
  RuleUpdate fused(const Settings& settings) override;
  void slots(Slots& slots) override;

 private:
  Tensor first_moment_, second_moment_;
  Tensor curvature_;  ///< of the step that comes
  bool magnitudes_, root_;
  int64_t steps_ = 0;
};

}  // namespace gradus::optim
