// The mathematics of PPO: advantages from what was walked, and the loss of a minibatch.
#pragma once

#include <span>
#include <vector>

#include "apps/walker/policy.h"
#include "apps/walker/settings.h"

namespace gradus::walker {

/// One step of an environment, as far as advantages depend on it.
struct Reward {
  double reward = 0;
  double value = 0;   ///< of the state before it
  bool over = false;  ///< the episode ended with it
};

/// Generalized advantage estimation (Schulman et al. 2016, equation 16): A_t = delta_t + gamma lambda A_{t+1} with
/// delta_t = r_t + gamma V_{t+1} - V_t; nothing counts beyond the end of an episode. `next_value` is the value of the
/// state after the last step.
std::vector<double> advantages(std::span<const Reward> steps, double next_value, double gamma, double lambda);

/// N steps. The advantages are to be normalized.
struct Minibatch {
  Tensor seen;                                       ///< [N, 24]
  Tensor actions;                                    ///< [N, 4]
  Tensor log_probability, advantage, value, target;  ///< [N]: of the old policy, and what the value should be
};

/// Subtracts the mean and divides by the deviation of the population plus 1e-8.
void normalize(std::span<float> values);

struct Losses {
  Var total;                ///< policy + value_coefficient * value - entropy_coefficient * entropy
  Var policy;               ///< minus the clipped objective, Schulman et al. 2017, equation 7
  Var value;                ///< half the mean squared error, or with clip_value the larger of two, as in Baselines
  Tensor ratio, log_ratio;  ///< [N]: probability of the action now to that before
};
Losses ppo_losses(Policy& policy, const Minibatch& batch, const PpoOptions& options);

/// log(2 pi)
extern const double log_2pi;

}  // namespace gradus::walker
