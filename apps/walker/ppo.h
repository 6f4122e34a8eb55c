// PPO on the bipedal walker: collects steps with the policy as it is, then improves it on them, again and again.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/walker/settings.h"
#include "core/safetensors.h"

namespace gradus::walker {

/// What one iteration did: means over all its updates, but for what is said otherwise.
struct Iteration {
  int64_t iteration = 0;          ///< counted from 1
  int64_t environment_steps = 0;  ///< of all iterations so far
  int64_t episodes = 0;           ///< ended in this iteration
  double episode_return = 0;      ///< mean of the last 100 episodes; not a number before the first has ended
  double episode_length = 0;
  double policy_loss = 0, value_loss = 0;
  double entropy = 0;                     ///< of the policy, after the iteration
  double kl = 0;                          ///< of the old policy from the new, estimated by mean(ratio - 1 - log ratio)
  double clipped = 0;                     ///< part of the ratios beyond the clip range
  double explained_variance = 0;          ///< of the returns, by the values before the iteration
  double lr = 0;                          ///< of its last update
  std::optional<double> step_scale = {};  ///< where steps are scaled: what the policy's were multiplied with

  apps::Record record() const;
};

class Ppo {
 public:
  /// Throws as Settings::check() and Environment do.
  explicit Ppo(const Settings& settings);
  ~Ppo();

  const Settings& settings() const;
  Policy& policy();
  int64_t iterations() const;  ///< completed
  /// Collects and improves once. Throws ErrorKind::value where a loss, or what the policy does, is not finite. The
  /// result does not depend on the number of threads.
  Iteration iterate();
  /// Returns of episodes without exploration, each with a push and, unless there is one for all, a terrain of its own:
  /// the same for equal (seed, `round`).
  std::vector<double> evaluate(int64_t episodes, uint64_t round) { return evaluate(policy(), episodes, round); }
  std::vector<double> evaluate(Policy& policy, int64_t episodes, uint64_t round) const;

  /// Everything that decides what follows: a trainer that loads it goes on to the same bits. Bodies in motion are not
  /// saved but walked again: for each environment the actions since its last reset.
  StateDict state() const;
  /// Throws where the state is not one of a trainer with these settings.
  void load(const StateDict& state);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The policy alone, with its settings, in one file that walker_watch plays.
void save_policy(const std::string& path, const Policy& policy, const Settings& settings,
                 std::map<std::string, std::string> metadata = {});
struct SavedPolicy {
  Settings settings;
  std::unique_ptr<Policy> policy;
  std::map<std::string, std::string> metadata;
};
/// Also reads the policy of a checkpoint. Throws ErrorKind::io or value naming a file that holds none.
SavedPolicy load_policy(const std::string& path);

}  // namespace gradus::walker
