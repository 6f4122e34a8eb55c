// The bipedal walker: environment steps per second and core, a whole PPO iteration, and its updates alone, which
// apps/walker/ppo_torch.py makes in PyTorch.
#include <algorithm>
#include <memory>

#include "apps/bench/benchmarks.h"
#include "apps/bench/measure.h"
#include "apps/bench/setup.h"
#include "apps/common/command_line.h"
#include "apps/walker/heuristic.h"
#include "apps/walker/ppo.h"
#include "apps/walker/ppo_loss.h"
#include "layers/init.h"

namespace gradus::apps::bench {
namespace {

struct WalkerFlags : MeasureFlags {
  std::string optimizer = "adam";
  int64_t iterations = 5;
};

// Gym's hand-written walker on one thread, so that what is measured is a walk and no heap of limbs.
double environment_rate() {
  constexpr int64_t steps = 20000;
  walker::Environment environment({});
  int64_t done = 0;
  const double seconds = seconds_of([&] {
    for (uint64_t episode = 0; done < steps; ++episode) {
      walker::Observation seen = environment.reset(episode, episode);
      walker::Heuristic heuristic;
      for (walker::Transition t; !t.over() && done < steps; seen = t.observation, ++done)
        t = environment.step(heuristic.act(seen));
    }
  });
  return static_cast<double>(steps) / seconds;
}

// All updates of an iteration on random numbers.
class Updates {
 public:
  explicit Updates(const walker::Settings& settings)
      : settings_(settings), policy_(settings.policy), optimizer_(settings.make_optimizer(policy_.parameters())) {
    Generator random(1);
    const int64_t n = settings.ppo.minibatch;
    const auto draw = [&](const Shape& shape) { return random_normal(shape, 0, 1, random.fork()); };
    batch_ = {draw({n, walker::observation_size}),
              draw({n, walker::action_size}),
              draw({n}) - 6.0,
              draw({n}),
              draw({n}),
              draw({n})};
  }

  int64_t count() const { return settings_.ppo.epochs * settings_.steps_per_iteration() / settings_.ppo.minibatch; }
  void run() {
    for (int64_t i = 0; i < count(); ++i) {
      const walker::Losses losses = walker::ppo_losses(policy_, batch_, settings_.ppo);
      optimizer_.zero_grad();
      losses.total.backward();
      optimizer_.step();
    }
  }

 private:
  walker::Settings settings_;
  walker::Policy policy_;
  optim::Optimizer optimizer_;
  walker::Minibatch batch_;
};

void bench_walker(const WalkerFlags& flags) {
  use_threads(flags.threads);
  walker::Settings settings;
  settings.optimizer.name = flags.optimizer;
  walker::Ppo ppo(settings);
  Updates updates(settings);
  ppo.iterate();
  updates.run();
  std::vector<double> environment, iteration;
  Record record = measure({.rate_name = "updates_per_s",
                           .round =
                               [&] {
                                 environment.push_back(environment_rate());
                                 iteration.push_back(seconds_of([&] {
                                                       for (int64_t i = 0; i < flags.iterations; ++i) ppo.iterate();
                                                     }) /
                                                     static_cast<double>(flags.iterations));
                                 return static_cast<double>(updates.count()) / seconds_of([&] { updates.run(); });
                               }},
                          flags);
  record.add({{"optimizer", flags.optimizer},
              {"iteration_s", median(iteration)},
              {"best_iteration_s", *std::min_element(iteration.begin(), iteration.end())},
              {"environment_steps_per_s_and_core", median(environment)},
              {"best_environment_steps_per_s_and_core", *std::max_element(environment.begin(), environment.end())}});
  report("the bipedal walker: PPO iterations of 2,048 steps and 640 updates", record, flags);
}

}  // namespace

std::function<void()> add_walker(CommandLine& line) {
  auto flags = std::make_shared<WalkerFlags>();
  line.add("--optimizer", flags->optimizer, "as walker_train takes it",
           one_of(std::vector<std::string>(std::begin(walker::optimizer_names), std::end(walker::optimizer_names))));
  line.add("--iterations", flags->iterations, "PPO iterations per round", at_least(1));
  flags->add_to(line);
  return [flags] { bench_walker(*flags); };
}

}  // namespace gradus::apps::bench
