#include "apps/walker/ppo.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "apps/walker/ppo_loss.h"
#include "core/distributions.h"
#include "core/error.h"
#include "core/parallel.h"
#include "data/permutation.h"
#include "layers/init.h"

namespace gradus::walker {
namespace {

// Streams of random numbers, all of the training's seed. Numbers of an environment or a round are added.
constexpr uint64_t noise_stream = uint64_t{1} << 32, episode_stream = uint64_t{2} << 32,
                   shuffle_stream = uint64_t{3} << 32, evaluation_stream = uint64_t{4} << 32;
constexpr size_t recent_episodes = 100;

uint64_t draw_seed(uint64_t seed, uint64_t stream, uint64_t offset) {
  const auto words = philox({seed, stream, offset});
  return uint64_t{words[0]} << 32 | words[1];
}

// The seeds of an episode: its terrain's, and that of its start.
std::pair<uint64_t, uint64_t> episode_seeds(const Settings& settings, uint64_t stream, int64_t episode) {
  const auto offset = 2 * static_cast<uint64_t>(episode);
  return {settings.landscape ? *settings.landscape : draw_seed(settings.seed, stream, offset),
          draw_seed(settings.seed, stream, offset + 1)};
}

struct Finished {
  double episode_return = 0;
  int64_t length = 0;
};

// One environment, and what it has walked since the last update.
struct Walker {
  Walker(const Settings& settings, size_t number)
      : settings(settings), number(number), environment(settings.environment) {
    begin_episode();
  }

  void begin_episode() {
    const auto seeds = episode_seeds(settings, episode_stream + number, episode);
    seen = environment.reset(seeds.first, seeds.second);
    actions.clear();
    episode_return = discounted = 0;
  }

  Transition step(const Action& action) {
    const Transition t = environment.step(action);
    actions.push_back(action);
    episode_return += t.reward;
    discounted = settings.ppo.gamma * discounted + t.reward;
    seen = t.observation;
    return t;
  }

  void walk(Policy& policy, const std::array<double, action_size>& deviation, double log_std_sum, uint64_t first_step) {
    const NoGrad no_grad;
    rows.clear();
    finished.clear();
    for (int64_t t = 0; t < settings.ppo.horizon; ++t) {
      Row row;
      row.raw = seen;
      row.seen = policy.normalized(seen);
      const Policy::Output output = evaluate(policy, row.seen);
      row.value = static_cast<float>(output.value.item());
      const std::vector<float> mean = output.mean.value().to_vector<float>();
      const auto words = philox({settings.seed, noise_stream + number, first_step + static_cast<uint64_t>(t)});
      double squares = 0;
      for (size_t k = 0; k < action_size; ++k) {
        const double noise = to_normal(words, static_cast<int>(k));
        row.action[k] = static_cast<float>(mean[k] + deviation[k] * noise);
        squares += noise * noise;
      }
      row.log_probability = static_cast<float>(-0.5 * squares - log_std_sum - 0.5 * action_size * log_2pi);
      if (!std::isfinite(row.value) || !std::isfinite(row.action[0] + row.action[1] + row.action[2] + row.action[3]))
        fail(ErrorKind::value, "ppo", "what the policy does is not finite: a smaller learning rate may help");
      const Transition transition = step(row.action);
      row.reward = transition.reward;
      row.discounted = static_cast<float>(discounted);
      row.over = transition.over();
      if (transition.out_of_time && settings.ppo.bootstrap_limit) row.value_at_limit = value_of(policy);
      if (transition.over()) {
        finished.push_back({episode_return, static_cast<int64_t>(actions.size())});
        ++episode;
        begin_episode();
      }
      rows.push_back(row);
    }
    next_value = value_of(policy);
  }

  static Policy::Output evaluate(Policy& policy, const Observation& x) {
    return policy.evaluate(Tensor::from(std::span<const float>(x), {1, observation_size}));
  }
  double value_of(Policy& policy) const { return evaluate(policy, policy.normalized(seen)).value.item(); }

  struct Row {
    Observation raw, seen;
    Action action;
    float log_probability, value, discounted;
    double reward, value_at_limit = 0;
    bool over;
    float advantage, target;
  };

  // `scale` multiplies the rewards, which are then limited to +-10.
  void estimate_advantages(double scale) {
    const PpoOptions& ppo = settings.ppo;
    std::vector<Reward> steps;
    for (const Row& row : rows) {
      const double reward = ppo.normalize_reward ? std::clamp(row.reward * scale, -10.0, 10.0) : row.reward;
      steps.push_back({reward + ppo.gamma * row.value_at_limit, row.value, row.over});
    }
    const std::vector<double> estimated = advantages(steps, next_value, ppo.gamma, ppo.lambda);
    for (size_t t = 0; t < rows.size(); ++t) {
      rows[t].advantage = static_cast<float>(estimated[t]);
      rows[t].target = static_cast<float>(estimated[t] + rows[t].value);
    }
  }

  const Settings& settings;
  size_t number;
  Environment environment;
  Observation seen{};
  int64_t episode = 0;
  std::vector<Action> actions;  ///< of the episode so far
  double episode_return = 0, discounted = 0;
  std::vector<Row> rows;
  std::vector<Finished> finished;
  double next_value = 0;
};

// Rows in the order in which an epoch uses them.
Minibatch gather(const std::vector<const Walker::Row*>& rows, const std::vector<int64_t>& order, int64_t minibatch) {
  std::vector<float> seen, actions, log_probability, advantage, value, target;
  for (const int64_t at : order) {
    const Walker::Row& row = *rows[static_cast<size_t>(at)];
    seen.insert(seen.end(), row.seen.begin(), row.seen.end());
    actions.insert(actions.end(), row.action.begin(), row.action.end());
    log_probability.push_back(row.log_probability);
    advantage.push_back(row.advantage);
    value.push_back(row.value);
    target.push_back(row.target);
  }
  const auto n = static_cast<int64_t>(rows.size());
  for (int64_t begin = 0; begin < n; begin += minibatch)
    normalize({advantage.data() + begin, static_cast<size_t>(minibatch)});
  return {Tensor::from(seen, {n, observation_size}),
          Tensor::from(actions, {n, action_size}),
          Tensor::from(log_probability, {n}),
          Tensor::from(advantage, {n}),
          Tensor::from(value, {n}),
          Tensor::from(target, {n})};
}

}  // namespace

apps::Record Iteration::record() const {
  apps::Record record{{"iteration", iteration},
                      {"environment_steps", environment_steps},
                      {"episodes", episodes},
                      {"episode_return", episode_return},
                      {"episode_length", episode_length},
                      {"policy_loss", policy_loss},
                      {"value_loss", value_loss},
                      {"entropy", entropy},
                      {"kl", kl},
                      {"clipped", clipped},
                      {"explained_variance", explained_variance},
                      {"lr", lr}};
  if (step_scale) record.add("step_scale", *step_scale);
  return record;
}

struct Ppo::Impl {
  explicit Impl(const Settings& given)
      : settings((given.check(), given)),
        policy((manual_seed(given.seed), given.policy)),
        optimizers(settings.make_optimizers(policy.parameters())) {
    for (size_t i = 0; i < static_cast<size_t>(settings.ppo.envs); ++i) walkers.emplace_back(settings, i);
  }

  Iteration iterate() {
    collect();
    Iteration made;
    made.explained_variance = explained_variance();
    learn(made);
    ++iterations;
    made.iteration = iterations;
    made.environment_steps = iterations * settings.steps_per_iteration();
    for (const Walker& walker : walkers) made.episodes += static_cast<int64_t>(walker.finished.size());
    for (const Finished& episode : recent) {
      made.episode_return += episode.episode_return / static_cast<double>(recent.size());
      made.episode_length += static_cast<double>(episode.length) / static_cast<double>(recent.size());
    }
    if (recent.empty()) made.episode_return = made.episode_length = std::nan("");
    return made;
  }

  // The policy does not change meanwhile, so that each environment walks on its own, on any thread. What they saw
  // enters the running moments afterwards, in a fixed order.
  void collect() {
    std::array<double, action_size> deviation{};
    double log_std_sum = 0;
    const std::vector<float> log_std = policy.log_std().value().to_vector<float>();
    for (size_t k = 0; k < action_size; ++k) {
      deviation[k] = std::exp(static_cast<double>(log_std[k]));
      log_std_sum += log_std[k];
    }
    const auto first_step = static_cast<uint64_t>(iterations * settings.ppo.horizon);
    parallel_for(static_cast<int64_t>(walkers.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        walkers[static_cast<size_t>(i)].walk(policy, deviation, log_std_sum, first_step);
    });
    for (const Walker& walker : walkers) {
      for (const Walker::Row& row : walker.rows) {
        if (settings.policy.normalize) policy.observed.add(row.raw);
        if (settings.ppo.normalize_reward) discounted.add({&row.discounted, 1});
      }
      for (const Finished& episode : walker.finished) recent.push_back(episode);
    }
    while (recent.size() > recent_episodes) recent.pop_front();
    for (Walker& walker : walkers) walker.estimate_advantages(1 / std::sqrt(discounted.variance(0) + 1e-8));
  }

  double explained_variance() const {
    Moments error(1), target(1);
    for (const Walker& walker : walkers)
      for (const Walker::Row& row : walker.rows) {
        error.add({&row.advantage, 1});
        target.add({&row.target, 1});
      }
    return target.variance(0) > 0 ? 1 - error.variance(0) / target.variance(0) : std::nan("");
  }

  void learn(Iteration& made) {
    const PpoOptions& ppo = settings.ppo;
    std::vector<const Walker::Row*> rows;
    for (const Walker& walker : walkers)
      for (const Walker::Row& row : walker.rows) rows.push_back(&row);
    const auto count = static_cast<int64_t>(rows.size());
    if (settings.optimizer.step_delta > 0) made.step_scale = 0;
    int64_t updates = 0;
    for (int64_t e = 0; e < ppo.epochs; ++e) {
      const uint64_t stream = shuffle_stream + static_cast<uint64_t>(iterations * ppo.epochs + e);
      const Minibatch epoch = gather(rows, random_permutation(count, settings.seed, stream), ppo.minibatch);
      for (int64_t begin = 0; begin < count; begin += ppo.minibatch, ++updates) {
        const auto part = [&](const Tensor& x) { return slice(x, 0, begin, begin + ppo.minibatch); };
        update({part(epoch.seen), part(epoch.actions), part(epoch.log_probability), part(epoch.advantage),
                part(epoch.value), part(epoch.target)},
               made);
      }
    }
    const auto n = static_cast<double>(updates);
    for (double* sum : {&made.policy_loss, &made.value_loss, &made.kl, &made.clipped}) *sum /= n;
    if (made.step_scale) *made.step_scale /= n;
    made.entropy = 0.5 * action_size * (1 + log_2pi);
    for (float log_std : policy.log_std().value().to_vector<float>()) made.entropy += log_std;
  }

  void update(const Minibatch& batch, Iteration& made) {
    const PpoOptions& ppo = settings.ppo;
    const Losses losses = ppo_losses(policy, batch, ppo);
    if (!std::isfinite(losses.total.item()))
      fail(ErrorKind::value, "ppo", "the loss is not finite in iteration ", iterations + 1,
           ": a smaller learning rate may help");
    for (optim::Optimizer& optimizer : optimizers) optimizer.zero_grad();
    optimizers.front().backward(losses.total);
    made.lr = optimizers.front().lr();
    for (optim::Optimizer& optimizer : optimizers) optimizer.step();
    if (made.step_scale) *made.step_scale += optimizers.front().step_scale();

    made.policy_loss += losses.policy.item();
    made.value_loss += losses.value.item();
    const auto ratio = losses.ratio.to_vector<float>(), log_ratio = losses.log_ratio.to_vector<float>();
    double kl = 0, clipped = 0;
    for (size_t i = 0; i < ratio.size(); ++i) {
      kl += ratio[i] - 1.0 - log_ratio[i];
      clipped += std::abs(ratio[i] - 1.0) > ppo.clip ? 1 : 0;
    }
    made.kl += kl / static_cast<double>(ppo.minibatch);
    made.clipped += clipped / static_cast<double>(ppo.minibatch);
  }

  StateDict state() const {
    StateDict state{{"observed", policy.observed.state()}, {"discounted", discounted.state()}};
    for (const auto& [name, tensor] : policy.state()) state["model/" + name] = tensor;
    for (size_t i = 0; i < optimizers.size(); ++i)
      for (const auto& [name, tensor] : optimizers[i].state()) state[prefixes[i] + "/" + name] = tensor;
    std::vector<int64_t> episodes;
    for (size_t i = 0; i < walkers.size(); ++i) {
      episodes.push_back(walkers[i].episode);
      const auto& actions = walkers[i].actions;
      std::vector<float> values;
      for (const Action& action : actions) values.insert(values.end(), action.begin(), action.end());
      state["walker." + std::to_string(i) + "/actions"] =
          Tensor::from(values, {static_cast<int64_t>(actions.size()), action_size});
    }
    state["episodes"] = Tensor::from(episodes, {static_cast<int64_t>(episodes.size())});
    state["iterations"] = Tensor::from({iterations}, {1});
    std::vector<double> returns;
    for (const Finished& episode : recent) {
      returns.push_back(episode.episode_return);
      returns.push_back(static_cast<double>(episode.length));
    }
    state["recent"] = Tensor::from(returns, {static_cast<int64_t>(recent.size()), 2});
    return state;
  }

  void load(const StateDict& state) {
    constexpr int64_t longest = int64_t{1} << 40;  // steps and iterations: no program gets so far
    const auto at = [&](const std::string& name) -> const Tensor& {
      const auto found = state.find(name);
      if (found == state.end()) fail(ErrorKind::value, "ppo", "the checkpoint lacks ", name);
      return found->second;
    };
    policy.load(under(state, "model"));
    for (size_t i = 0; i < optimizers.size(); ++i) optimizers[i].load(under(state, prefixes[i]));
    policy.observed.load(at("observed"));
    discounted.load(at("discounted"));
    const std::vector<int64_t> count = at("iterations").to_vector<int64_t>();
    if (count.size() != 1 || count[0] < 0 || count[0] > longest)
      fail(ErrorKind::value, "ppo", "the checkpoint's iterations are no count");
    iterations = count[0];
    const std::vector<double> returns = at("recent").to_vector<double>();
    recent.clear();
    for (size_t i = 0; i + 1 < returns.size(); i += 2) {
      if (!(returns[i + 1] >= 0 && returns[i + 1] <= longest))
        fail(ErrorKind::value, "ppo", "the checkpoint has an episode of ", returns[i + 1], " steps");
      recent.push_back({returns[i], static_cast<int64_t>(returns[i + 1])});
    }
    const std::vector<int64_t> episodes = at("episodes").to_vector<int64_t>();
    if (episodes.size() != walkers.size())
      fail(ErrorKind::value, "ppo", "the checkpoint has ", episodes.size(), " environments, but the settings ask for ",
           walkers.size());
    for (size_t i = 0; i < walkers.size(); ++i) {
      walkers[i].episode = episodes[i];
      walkers[i].begin_episode();
      const std::vector<float> values = at("walker." + std::to_string(i) + "/actions").to_vector<float>();
      for (size_t k = 0; k + action_size <= values.size(); k += action_size) {
        Action action;
        std::copy_n(values.begin() + static_cast<int64_t>(k), action_size, action.begin());
        walkers[i].step(action);
      }
    }
  }

  Settings settings;
  Policy policy;
  std::vector<optim::Optimizer> optimizers;  ///< the policy's, and the value's where that has one of its own
  static inline const std::string prefixes[] = {"optimizer", "value_optimizer"};  ///< of what they remember
  std::deque<Walker> walkers;
  Moments discounted{1};
  std::deque<Finished> recent;
  int64_t iterations = 0;
};

Ppo::Ppo(const Settings& settings) : impl_(std::make_unique<Impl>(settings)) {}
Ppo::~Ppo() = default;
const Settings& Ppo::settings() const { return impl_->settings; }
Policy& Ppo::policy() { return impl_->policy; }
int64_t Ppo::iterations() const { return impl_->iterations; }
Iteration Ppo::iterate() { return impl_->iterate(); }
StateDict Ppo::state() const { return impl_->state(); }
void Ppo::load(const StateDict& state) { impl_->load(state); }

std::vector<double> Ppo::evaluate(Policy& policy, int64_t episodes, uint64_t round) const {
  std::vector<std::pair<uint64_t, uint64_t>> seeds;
  for (int64_t i = 0; i < episodes; ++i) seeds.push_back(episode_seeds(impl_->settings, evaluation_stream + round, i));
  return play(policy, impl_->settings.environment, seeds);
}

void save_policy(const std::string& path, const Policy& policy, const Settings& settings,
                 std::map<std::string, std::string> metadata) {
  StateDict state{{"observed", policy.observed.state()}};
  for (const auto& [name, tensor] : policy.state()) state["model/" + name] = tensor;
  metadata["settings"] = settings.record().json();
  safetensors::save(path, state, metadata);
}

namespace {

/// Before memory is taken for layers of these widths: the file must have their weights.
void check_widths(const std::vector<int64_t>& hidden, const StateDict& tensors) {
  int64_t elements = 0, before = 1;
  for (const auto& [name, tensor] : tensors) elements += tensor.numel();
  for (int64_t width : hidden) {
    if (width * before > elements)
      fail(ErrorKind::value, "walker", "the settings name a layer of ", width, " units, whose weights are not there");
    before = width;
  }
}

}  // namespace

SavedPolicy load_policy(const std::string& path) {
  const safetensors::Content content = safetensors::load(path);
  const auto settings = content.metadata.find("settings");
  const auto observed = content.tensors.find("observed");
  if (settings == content.metadata.end() || observed == content.tensors.end())
    fail(ErrorKind::value, "walker", path, " holds no policy of walker_train");
  SavedPolicy saved{Settings::parse(settings->second), nullptr, content.metadata};
  check_widths(saved.settings.policy.hidden, content.tensors);
  saved.policy = std::make_unique<Policy>(saved.settings.policy);
  saved.policy->load(under(content.tensors, "model"));
  saved.policy->observed.load(observed->second);
  return saved;
}

}  // namespace gradus::walker
