// Adam with curvature in its second moment.
#include "optim/rules/curvature_rule.h"

#include "optim/rules/adam_spec.h"

namespace gradus::optim {

CurvatureRule::CurvatureRule(const Tensor& parameter, bool magnitudes, bool root)
    : first_moment_(zeros_like(parameter)),
      second_moment_(zeros_like(parameter)),
      magnitudes_(magnitudes),
      root_(root) {}

RuleUpdate CurvatureRule::fused(const Settings& settings) {
  return {.kind = RuleUpdate::Kind::curvature,
          .adam = adam_spec(settings, ++steps_),
          .first = &first_moment_,
          .second = &second_moment_,
          .curvature = &curvature_,
          .magnitudes = magnitudes_,
          .root = root_};
}

void CurvatureRule::slots(Slots& slots) {
  slots.add("first_moment", first_moment_);
  slots.add(magnitudes_ ? "magnitude" : "second_moment", second_moment_);
  slots.add("steps", steps_);
}

}  // namespace gradus::optim
