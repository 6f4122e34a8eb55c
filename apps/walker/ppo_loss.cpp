#include "apps/walker/ppo_loss.h"

#include <cmath>
#include <numbers>

namespace gradus::walker {

const double log_2pi = std::log(2 * std::numbers::pi);

std::vector<double> advantages(std::span<const Reward> steps, double next_value, double gamma, double lambda) {
  std::vector<double> result(steps.size());
  double advantage = 0, after = next_value;
  for (size_t t = steps.size(); t-- > 0;) {
    const double on = steps[t].over ? 0 : 1;
    advantage = steps[t].reward + gamma * on * after - steps[t].value + gamma * lambda * on * advantage;
    result[t] = advantage;
    after = steps[t].value;
  }
  return result;
}

void normalize(std::span<float> values) {
  const auto count = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (float value : values) sum += value;
  const double mean = sum / count;
  for (float value : values) squares += (value - mean) * (value - mean);
  const double scale = 1 / (std::sqrt(squares / count) + 1e-8);
  for (float& value : values) value = static_cast<float>((value - mean) * scale);
}

Losses ppo_losses(Policy& policy, const Minibatch& batch, const PpoOptions& options) {
  const Policy::Output now = policy.evaluate(batch.seen);
  const Var& log_std = policy.log_std();
  const Var z = (batch.actions - now.mean) * exp(-log_std), log_std_sum = sum(log_std);
  const Var log_ratio =
      sum(square(z), {1}) * -0.5 - log_std_sum - (batch.log_probability + 0.5 * action_size * log_2pi);
  const Var ratio = exp(log_ratio), advantage = batch.advantage;

  Losses losses;
  losses.ratio = ratio.value();
  losses.log_ratio = log_ratio.value();
  losses.policy = -mean(minimum(ratio * advantage, clamp(ratio, 1 - options.clip, 1 + options.clip) * advantage));
  Var error = square(now.value - batch.target);
  if (options.clip_value) {
    const Var near = batch.value + clamp(now.value - batch.value, -options.clip, options.clip);
    error = maximum(error, square(near - batch.target));
  }
  losses.value = 0.5 * mean(error);
  losses.total = losses.policy + options.value_coefficient * losses.value;
  if (options.entropy_coefficient != 0) losses.total = losses.total - options.entropy_coefficient * log_std_sum;
  return losses;
}

}  // namespace gradus::walker
