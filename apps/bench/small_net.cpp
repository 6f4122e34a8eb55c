// Updates per second of a tiny actor-critic network, as reinforcement learning makes millions of them: 24-40-40 tanh,
// four means and a value, clipped surrogate loss, Adam.
#include <memory>

#include "apps/bench/benchmarks.h"
#include "apps/bench/measure.h"
#include "apps/bench/setup.h"
#include "apps/common/command_line.h"
#include "core/random.h"
#include "layers/linear.h"
#include "layers/module.h"
#include "optim/optimizer.h"

namespace gradus::apps::bench {
namespace {

constexpr int64_t observation = 24, hidden = 40, action = 4;

class ActorCritic : public Module {
 public:
  ActorCritic()
      : first_(child("first", Linear(observation, hidden))),
        second_(child("second", Linear(hidden, hidden))),
        mean_(child("mean", Linear(hidden, action))),
        value_(child("value", Linear(hidden, 1))),
        log_std_(parameter("log_std", Tensor::zeros({action}))) {}

  struct Output {
    Var mean, value;
  };
  Output evaluate(const Var& x) {
    const Var h = tanh(second_(tanh(first_(x))));
    return {tanh(mean_(h)), squeeze(value_(h), 1)};
  }
  const Var& log_std() const { return log_std_; }

 private:
  Linear& first_;
  Linear& second_;
  Linear& mean_;
  Linear& value_;
  Parameter log_std_;
};

struct SmallNetFlags : MeasureFlags {
  int64_t batch = 32, updates = 2000;
  std::string preconditioner = "none";
};

void bench_small_net(const SmallNetFlags& flags) {
  use_threads(flags.threads);
  Generator random(1);
  const auto draw = [&](const Shape& shape) { return random_normal(shape, 0, 1, random.fork()); };
  const Tensor observations = draw({flags.batch, observation}), actions = draw({flags.batch, action});
  const Tensor advantage = draw({flags.batch}), returns = draw({flags.batch}),
               old_log_probability = draw({flags.batch});
  ActorCritic net;
  auto builder = optim::over(net.parameters());
  builder.rule(optim::Adam{.lr = 3e-4});
  if (flags.preconditioner == "fop") builder.precondition(optim::Fop{});
  optim::Optimizer optimizer = builder.build();

  const auto update = [&] {
    optimizer.zero_grad();
    const auto [mean_action, value] = net.evaluate(observations);
    const Var z = (actions - mean_action) / exp(net.log_std());
    const Var log_probability = sum(z * z * -0.5 - net.log_std() - 0.9189385, {1});
    const Var ratio = exp(log_probability - old_log_probability);
    const Var gain = minimum(ratio * advantage, clamp(ratio, 0.8, 1.2) * advantage);
    const Var loss = 0.5 * mean(square(value - returns)) - mean(gain);
    loss.backward();
    optimizer.step();
  };
  for (int i = 0; i < 100; ++i) update();
  Record record = measure({.rate_name = "updates_per_s",
                           .round =
                               [&] {
                                 return static_cast<double>(flags.updates) / seconds_of([&] {
                                          for (int64_t i = 0; i < flags.updates; ++i) update();
                                        });
                               }},
                          flags);
  record.add({{"batch", flags.batch}, {"rule", std::string("adam")}, {"preconditioner", flags.preconditioner}});
  report("updates of a 24-40-40-(4, 1) network", record, flags);
}

}  // namespace

std::function<void()> add_small_net(CommandLine& line) {
  auto flags = std::make_shared<SmallNetFlags>();
  line.add("--batch", flags->batch, "observations per update", at_least(1));
  line.add("--updates", flags->updates, "updates per round", at_least(1));
  line.add("--preconditioner", flags->preconditioner, "fop: full rank on every layer", one_of({"none", "fop"}));
  flags->add_to(line);
  return [flags] { bench_small_net(*flags); };
}

}  // namespace gradus::apps::bench
