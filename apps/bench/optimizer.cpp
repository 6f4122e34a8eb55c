// The optimizer's part of a training step: every rule with every preconditioner, each step from fresh gradients and
// from memory as a backward pass leaves it, beside plain momentum in the same minute.
#include <cmath>
#include <functional>
#include <iomanip>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "apps/bench/benchmarks.h"
#include "apps/bench/measure.h"
#include "apps/bench/setup.h"
#include "apps/common/command_line.h"
#include "apps/common/memory.h"
#include "apps/common/progress.h"
#include "core/parallel.h"
#include "models/registry.h"

namespace gradus::apps::bench {
namespace {

struct OptimizerFlags : MeasureFlags {
  std::string model = "all_cnn", acts_on = "gradient";
  int64_t batch = 128;
  std::vector<std::string> rules = {"momentum", "sgd", "nesterov", "adam", "adamw", "rmsprop", "adagrad"};
};

/// Rows between two measurements of plain momentum.
constexpr size_t momentum_every = 5;

struct Row {
  std::string rule, preconditioner;
  optim::Optimizer optimizer;
  std::vector<double> times, extra;  ///< seconds, and beyond the last step with plain momentum
};

/// Seconds of both parts of a step after another one of the same optimizer, as in a training.
std::pair<double, double> second_step(const std::function<void()>& gradients, const std::function<void()>& update) {
  gradients();
  update();
  const double first = seconds_of(gradients);
  return {first, seconds_of(update)};
}

void bench_optimizer(const OptimizerFlags& flags) {
  use_threads(flags.threads);
  TrainingSubject training({.model = flags.model, .batch = flags.batch});
  const std::vector<Parameter> parameters = training.model().parameters();
  std::vector<Row> rows;
  for (const std::string& rule : flags.rules)
    for (const char* preconditioner : {"none", "s-hd", "fop", "fop-norm", "pp-hd"})
      rows.push_back(
          {rule, preconditioner, OptimizerChoice{rule, preconditioner, flags.acts_on}.make(parameters), {}, {}});

  std::vector<double> whole, plain;
  Progress progress;
  // One round more than counts: it touches memory, and preconditioners learn from their second step on.
  for (int64_t round = 0; round <= flags.rounds; ++round) {
    for (size_t i = 0; i < rows.size(); ++i) {
      Row& row = rows[i];
      if (i % momentum_every == 0) {
        const auto [gradients, update] = second_step([&] { training.gradients(); }, [&] { training.update(); });
        plain.push_back(update);
        whole.push_back(gradients + update);
      }
      row.times.push_back(second_step([&] { training.gradients(); }, [&] { row.optimizer.step(); }).second);
      row.extra.push_back(row.times.back() - plain.back());
      show_round(progress, round, flags.rounds,
                 static_cast<double>(static_cast<size_t>(round) * rows.size() + i) /
                     static_cast<double>(static_cast<size_t>(flags.rounds + 1) * rows.size()));
    }
    if (round > 0) continue;
    whole.clear(), plain.clear();
    for (Row& row : rows) row.times.clear(), row.extra.clear();
  }

  const double step = median(whole);
  if (!flags.json) {
    print_line("optimizer steps on " + flags.model + "; a training step with momentum takes " +
               exact(std::round(step * 1e4) / 10) + " ms, " + exact(std::round(median(plain) * 1e6) / 1e3) +
               " ms of them momentum's");
    print_line("rule      preconditioner   ms/step   over momentum   share of the step   state bytes");
  }
  for (Row& row : rows) {
    const double time = median(row.times), extra = median(row.extra);
    const auto bytes = row.optimizer.state_bytes();
    if (flags.json) {
      print_line(Record{
          {"rule", row.rule},
          {"preconditioner", row.preconditioner},
          {"step_ms", time * 1e3},
          {"extra_ms", extra * 1e3},
          {"extra_share", extra / step},
          {"state_bytes",
           bytes}}.json());
      continue;
    }
    std::ostringstream line;
    line << std::left << std::setw(10) << row.rule << std::setw(16) << row.preconditioner << std::right << std::fixed
         << std::setprecision(3) << std::setw(8) << time * 1e3 << std::setw(13) << extra * 1e3 << " ms"
         << std::setprecision(2) << std::setw(18) << 100 * extra / step << " %" << std::setw(14) << bytes;
    print_line(line.str());
  }
  if (flags.json)
    print_line(Record{{"step_ms", step * 1e3},
                      {"momentum_ms", median(plain) * 1e3},
                      {"acts_on", flags.acts_on},
                      {"peak_rss_mb", peak_rss_mb()},
                      {"model", flags.model},
                      {"batch", flags.batch},
                      {"threads", int64_t{num_threads()}}}
                   .json());
}

}  // namespace

std::function<void()> add_optimizer(CommandLine& line) {
  auto flags = std::make_shared<OptimizerFlags>();
  line.add("--model", flags->model, "model by name", one_of(model_names()));
  line.add("--batch", flags->batch, "images per step of the whole training step", at_least(1));
  line.add("--rules", flags->rules, "update rules, by name", one_of(flags->rules));
  add_acts_on(line, flags->acts_on);
  flags->add_without_against(line);
  return [flags] { bench_optimizer(*flags); };
}

}  // namespace gradus::apps::bench
