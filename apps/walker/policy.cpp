#include "apps/walker/policy.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/parallel.h"
#include "layers/init.h"

namespace gradus::walker {

Policy::Policy(const PolicyOptions& options) : options_(options) {
  const auto add = [&](const std::string& name, int64_t in, int64_t out, double gain) {
    Linear* layer = &child(name, Linear(in, out));
    init::orthogonal(layer->weight().value(), gain);
    init::zeros(layer->bias().value());
    return layer;
  };
  const auto add_trunk = [&](const std::string& prefix, std::vector<Linear*>& layers) {
    int64_t width = observation_size;
    for (int64_t hidden : options.hidden) {
      layers.push_back(add(prefix + "fc" + std::to_string(layers.size() + 1), width, hidden, std::sqrt(2.0)));
      width = hidden;
    }
    return width;
  };
  const int64_t width = add_trunk("", layers_);
  if (!options.shared) add_trunk("value_", value_layers_);
  mean_ = add("mean", width, action_size, 0.01);
  value_ = add("value", width, 1, 1);
  log_std_ = parameter("log_std", Tensor::zeros({action_size}));
}

Var Policy::trunk(const std::vector<Linear*>& layers, const Var& x) const {
  Var h = x;
  for (Linear* layer : layers) h = tanh((*layer)(h));
  return h;
}

Policy::Output Policy::evaluate(const Var& x) {
  const Var h = trunk(layers_, x);
  const Var mean = (*mean_)(h);
  const Var value = (*value_)(options_.shared ? h : trunk(value_layers_, x));
  return {options_.tanh_mean ? tanh(mean) : mean, squeeze(value, 1)};
}

Observation Policy::normalized(const Observation& seen) const {
  if (!options_.normalize) return seen;
  Observation out;
  for (size_t i = 0; i < seen.size(); ++i)
    out[i] = static_cast<float>(
        std::clamp((seen[i] - observed.mean(i)) / std::sqrt(observed.variance(i) + 1e-8), -10.0, 10.0));
  return out;
}

Action Policy::act(const Observation& seen) {
  const NoGrad no_grad;
  const Observation x = normalized(seen);
  const Var mean = evaluate(Tensor::from(std::span<const float>(x), {1, observation_size})).mean;
  Action action;
  std::copy_n(mean.value().to_vector<float>().begin(), action_size, action.begin());
  return action;
}

std::vector<double> play(Policy& policy, const EnvironmentOptions& options,
                         const std::vector<std::pair<uint64_t, uint64_t>>& seeds) {
  std::vector<double> returns(seeds.size());
  parallel_for(static_cast<int64_t>(seeds.size()), 1, [&](int64_t begin, int64_t end) {
    Environment environment(options);
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      Observation seen = environment.reset(seeds[i].first, seeds[i].second);
      for (Transition t; !t.over(); seen = t.observation) {
        t = environment.step(policy.act(seen));
        returns[i] += t.reward;
      }
    }
  });
  return returns;
}

}  // namespace gradus::walker
