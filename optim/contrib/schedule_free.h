// Schedule-Free Adam (Defazio et al. 2024, arXiv 2405.15682): an average of the iterates in the place of a schedule of
// the learning rate.
#pragma once

#include <vector>

#include "autograd/parameter.h"
#include "optim/rule.h"

namespace gradus::optim {

class Optimizer;

/// The parameter is y = (1 - beta1) z + beta1 x, where gradients are taken; z <- z - lr u / (sqrt(v / (1 - beta2^t)) +
/// eps) makes the steps, and x averages z with weights lr^2 (the largest lr so far). Test and save at x: see
/// ScheduleFreeScope. A warm-up of the learning rate is a schedule. Coupled decay is part of u, at y; the published one
/// is added to the normalized gradient instead. What would move y otherwise is refused: decoupled decay, step scaling,
/// a preconditioner of directions.
struct ScheduleFree {
  double lr = 2.5e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;

  static constexpr const char* name = "schedule-free";
  Settings settings() const { return {{"lr", lr}, {"beta1", beta1}, {"beta2", beta2}, {"eps", eps}}; }
  std::unique_ptr<Rule> make(const Tensor& parameter) const;
};

/// While one lives, the parameters that ScheduleFree trains hold x, the average; then y again. Make no step meanwhile.
class ScheduleFreeScope {
 public:
  ScheduleFreeScope(const Optimizer& optimizer, const std::vector<Parameter>& parameters);
  ~ScheduleFreeScope();
  ScheduleFreeScope(const ScheduleFreeScope&) = delete;
  ScheduleFreeScope& operator=(const ScheduleFreeScope&) = delete;

 private:
  std::vector<std::pair<Parameter, Tensor>> training_;  ///< and its y
};

}  // namespace gradus::optim
