// All that decides a training of the walker.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "apps/common/record.h"
#include "apps/walker/environment.h"
#include "apps/walker/policy.h"
#include "optim/optimizer.h"

namespace gradus::walker {

/// PPO-Clip (Schulman et al. 2017) as OpenAI Baselines' ppo2 does it; where the FOP paper says something, its value.
struct PpoOptions {
  int64_t envs = 4;       ///< environments that walk side by side, on as many threads as there are
  int64_t horizon = 512;  ///< steps of each between two updates: an iteration has envs * horizon
  int64_t epochs = 10, minibatch = 32;
  double gamma = 0.99, lambda = 0.95;  ///< discount; generalized advantage estimation (Schulman et al. 2016)
  double clip = 0.2;
  bool clip_value = true;  ///< the value, too, gains nothing by leaving +-clip of what it was
  double value_coefficient = 0.5, entropy_coefficient = 0;
  double max_grad_norm = 0.5;     ///< over all gradients, before they are preconditioned; 0: no limit
  bool normalize_reward = false;  ///< rewards are divided by the deviation of their discounted sum, limited to +-10
  bool bootstrap_limit = false;   ///< the time limit is no end: the value of the last state counts
  bool linear_decay = false;      ///< of the learning rate, to 0 at the last iteration
};

struct OptimizerOptions {
  std::string name = "fop";  ///< sgd, momentum, adam, rmsprop: the rule; fop, fop-norm, s-hd, pp-hd: with momentum;
                             ///< fop-adam: FOP with Adam
  std::optional<double> lr = {};  ///< the paper's by default: 3.5e-4 for sgd and momentum, otherwise 3e-4
  double momentum = 0.9;
  /// Adam's, which learns the preconditioner. The paper gives none for the walker; FOP's default is the best of 1e-4,
  /// 1e-5 and 1e-6: an iteration makes 640 steps of it, and with 1e-4 learning ends after some 100 iterations.
  std::optional<double> hyper_lr = {};
  double step_delta = 0;  ///< of optim::StepScaling, with HesScale's curvature; 0: steps are not scaled

  double resolved_hyper_lr() const { return hyper_lr ? *hyper_lr : name.starts_with("fop") ? 1e-6 : 1e-4; }
  double resolved_lr() const { return lr ? *lr : name == "sgd" || name == "momentum" ? 3.5e-4 : 3e-4; }
};

inline constexpr const char* optimizer_names[] = {"fop",      "momentum", "adam", "sgd",  "rmsprop",
                                                  "fop-adam", "fop-norm", "s-hd", "pp-hd"};

struct Settings {
  std::string terrain = "stock";  ///< as parse_terrain() reads it
  /// The seed of the one terrain that all episodes share; each has its own where there is none.
  std::optional<uint64_t> landscape = {};
  EnvironmentOptions environment = {};  ///< its `terrain` is the one above
  PolicyOptions policy = {};
  PpoOptions ppo = {};
  OptimizerOptions optimizer = {};
  int64_t iterations = 1000;
  uint64_t seed = 0;

  /// Some gigabytes of observations.
  static constexpr int64_t most_steps_per_iteration = int64_t{1} << 24;
  int64_t steps_per_iteration() const { return ppo.envs * ppo.horizon; }
  /// Reads the terrain's name, and gives what depends on it: the landscapes of rough and rough-obstacles are fixed, and
  /// only stock terrain has 1600 steps' time, all others 2000.
  void set_terrain(const std::string& name);
  /// Throws ErrorKind::value for sizes and rates without sense.
  void check() const;
  /// For config.json, the ledger and checkpoints: equal records mean equal results.
  apps::Record record() const;
  /// Reads what record().json() wrote. Throws ErrorKind::value where that is something else, or check() does.
  static Settings parse(const std::string& json);
  optim::Optimizer make_optimizer(const std::vector<Parameter>& parameters) const;
  /// One for all parameters. Where steps are scaled and the value has a network of its own, one for either network
  /// (Elsayed et al. 2024): the value's loss curves far more and would shorten the policy's steps, too.
  std::vector<optim::Optimizer> make_optimizers(const std::vector<Parameter>& parameters) const;
};

/// A whole number below 2^64; nothing for another text.
std::optional<uint64_t> parse_seed(const std::string& text);
/// "40,40": each from 1 to 16384. Throws ErrorKind::value for another text.
std::vector<int64_t> parse_widths(const std::string& text);

/// The settings that RL Baselines3 Zoo publishes for PPO on BipedalWalker-v3 (5 million steps, 213 +- 130).
void use_zoo_settings(Settings& settings);

}  // namespace gradus::walker
