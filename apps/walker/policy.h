// The network that walks: a Gaussian policy over the four motors and a value of the state.
#pragma once

#include <string>
#include <vector>

#include "apps/walker/environment.h"
#include "apps/walker/moments.h"
#include "layers/linear.h"
#include "layers/module.h"

namespace gradus::walker {

struct PolicyOptions {
  std::vector<int64_t> hidden = {40, 40};
  bool tanh_mean = true;   ///< the means lie in [-1, 1]
  bool shared = true;      ///< the value stands on the policy's hidden layers, or else on a copy of its own
  bool normalize = false;  ///< observations are normalized by their running mean and variance, limited to +-10
};

/// tanh layers; initialized as OpenAI Baselines does: orthogonal with gain sqrt 2, 0.01 for the means and 1 for the
/// value, zero biases, and a standard deviation of 1 that depends on no state.
class Policy : public Module {
 public:
  /// Draws from the default generator.
  explicit Policy(const PolicyOptions& options);

  struct Output {
    Var mean;   ///< [N, 4]
    Var value;  ///< [N]
  };
  /// x [N, 24], as normalized() makes them.
  Output evaluate(const Var& x);
  const Parameter& log_std() const { return log_std_; }
  std::string describe() const override { return "Policy"; }

  /// What the network sees of an observation.
  Observation normalized(const Observation& seen) const;
  /// The means: what the policy does when it does not explore. Any number of threads may ask at once.
  Action act(const Observation& seen);

  const PolicyOptions& options() const { return options_; }
  Moments observed{observation_size};  ///< so far; of use with `normalize` only

 private:
  Var trunk(const std::vector<Linear*>& layers, const Var& x) const;

  PolicyOptions options_;
  std::vector<Linear*> layers_, value_layers_;
  Linear *mean_, *value_;
  Parameter log_std_;
};

/// The returns of episodes without exploration, one per pair of seeds. Runs on all threads; the
/// result does not depend on their number.
std::vector<double> play(Policy& policy, const EnvironmentOptions& environment,
                         const std::vector<std::pair<uint64_t, uint64_t>>& seeds);

}  // namespace gradus::walker
