// Figure 4 of the paper: the best return so far of a bipedal walker that learns by PPO, on two terrains, with momentum,
// with FOP and momentum, and with Adam.
#include <algorithm>
#include <cmath>

#include "apps/reproduce/experiment.h"
#include "apps/reproduce/statistics.h"
#include "apps/reproduce/walker_runs.h"

namespace gradus::reproduce::figure_4 {
namespace {

struct Protocol {
  const char* terrain;
  int64_t smoke_runs, cpu_runs, paper_runs;
  int64_t cpu_iterations, paper_iterations;
};
constexpr Protocol rough{"rough", 2, 5, 10, 1000, 5000}, obstacles{"rough-obstacles", 2, 3, 5, 1000, 7000};

const std::vector<std::string> optimizers{"fop", "momentum", "adam"};

// POET's conventions, from whose authors the paper's walker comes: 2000 steps, its lidar, one landscape for all; the
// start is pushed and moved at random.
walker::Plan plan_of(const Context& context, const Protocol& protocol, const std::string& optimizer, uint64_t seed) {
  walker::Plan plan;
  plan.settings.set_terrain(protocol.terrain);
  plan.settings.environment.lidar = walker::Lidar::v2;
  plan.settings.environment.jitter = 1;
  plan.settings.optimizer.name = optimizer;
  plan.settings.seed = seed;
  plan.settings.iterations = context.by_scale<int64_t>(4, protocol.cpu_iterations, protocol.paper_iterations);
  plan.evaluate_every = context.by_scale<int64_t>(2, 10, 10);
  plan.episodes = context.by_scale<int64_t>(1, 5, 5);
  if (context.scale() == Scale::smoke) {
    plan.settings.ppo.horizon = 64;
    plan.settings.environment.time_limit = 100;
  }
  return plan;
}

std::vector<Run> runs_of(const Context& context, const Protocol& protocol, const std::string& optimizer) {
  std::vector<Run> runs;
  for (uint64_t seed : context.seeds(protocol.smoke_runs, protocol.cpu_runs, protocol.paper_runs))
    runs.push_back(walker_run(optimizer, plan_of(context, protocol, optimizer, seed)));
  return runs;
}

std::vector<Run> all_runs(const Context& context, const Protocol& protocol) {
  std::vector<Run> runs;
  for (const std::string& optimizer : optimizers)
    for (Run& run : runs_of(context, protocol, optimizer)) runs.push_back(std::move(run));
  return runs;
}

// The first iteration from which the median is at least half of the highest final one.
std::string half_way(const std::vector<BestSoFar>& curve, double level) {
  for (const BestSoFar& point : curve)
    if (point.median >= level) return fixed(point.iteration, 0);
  return "never";
}

void read(const Context& context, Report& report, const Protocol& protocol) {
  const walker::Settings example = plan_of(context, protocol, "fop", 0).settings;
  const auto count = static_cast<int64_t>(runs_of(context, protocol, "fop").size());
  report.protocol(std::string("terrain ") + protocol.terrain + ", " + std::to_string(count) + " runs of " +
                  std::to_string(example.iterations) + " iterations of " +
                  std::to_string(example.steps_per_iteration()) + " steps");
  std::vector<std::vector<BestSoFar>> curves;
  std::vector<apps::Record> rows;
  double highest = -1e300;
  for (const std::string& optimizer : optimizers) {
    curves.push_back(best_so_far(context, runs_of(context, protocol, optimizer)));
    for (apps::Record& row : records_of(curves.back(), {{"optimizer", optimizer}})) rows.push_back(std::move(row));
    if (!curves.back().empty()) highest = std::max(highest, curves.back().back().median);
  }
  const bool intervals = static_cast<size_t>(count) >= fewest_for_interval;
  int64_t all_diverged = 0;
  Table table{{"optimizer", "learning rate", "runs", "diverged", "best return, median", "95 % interval",
               "passes half of the highest", "verdict"},
              {}};
  for (size_t i = 0; i < optimizers.size(); ++i) {
    int64_t diverged = 0;
    for (const Run& run : runs_of(context, protocol, optimizers[i])) diverged += !context.at(run).diverged.empty();
    all_diverged += diverged;
    walker::Settings settings;
    settings.optimizer.name = optimizers[i];
    const BestSoFar end = curves[i].empty() ? BestSoFar{0, std::nan(""), std::nan(""), std::nan("")} : curves[i].back();
    std::string verdict = end.median == highest ? "highest" : "lower";
    for (const auto& other : curves)
      if (!other.empty() && other.back().low > end.high) verdict = "lower, intervals apart";
    table.rows.push_back({optimizers[i], apps::exact(settings.optimizer.resolved_lr()), std::to_string(count),
                          std::to_string(diverged), fixed(end.median, 1),
                          std::isnan(end.low) ? "" : "[" + fixed(end.low, 1) + ", " + fixed(end.high, 1) + "]",
                          half_way(curves[i], -100 + (highest + 100) / 2), verdict});
  }
  report.table(table);
  report.note(
      "Best return so far: after every " + std::to_string(plan_of(context, protocol, "fop", 0).evaluate_every) +
      " iterations the mean of episodes without exploration, always the same ones; median over runs" +
      (intervals ? std::string(" with a 95 % percentile bootstrap")
                 : ", without an interval, as no resampling of fewer than " + std::to_string(fewest_for_interval) +
                       " runs has one of 95 %") +
      ". " +
      (all_diverged > 0 ? "A run that diverged keeps the best that it had, which is -100 before its first evaluation. "
                        : "") +
      "Half of the highest counts from -100, a fall. The paper names neither its terrains nor "
      "how the best policy is judged: the terrain is POET's with one landscape for all runs, and the start is moved by "
      "up to one terrain step and pushed. It prints no numbers; its axis goes from -100 to 300. FOP is the factor "
      "P = I + M M^T at full rank on every layer, and gradients are clipped before they are preconditioned. Adam "
      "learns M at the rate " +
      apps::exact(example.optimizer.resolved_hyper_lr()) +
      ", which the paper does not give: of three that were tried on two seeds, 1e-4 ended all learning after some 100 "
      "iterations, and 1e-5 slowed it.");
  report.csv("curves", rows);
  report.plot("curves", std::string("Best return so far: median") + (intervals ? " and 95 % bootstrap interval" : ""),
              curve_commands("curves", optimizers));
}

}  // namespace

constexpr Experiment experiment_a{.name = "figure_4a",
                                  .title = "Figure 4a: the bipedal walker on rough ground, three optimizers",
                                  .runs = [](const Context& context) { return all_runs(context, rough); },
                                  .read = [](const Context& context, Report& report) { read(context, report, rough); },
                                  .full_precision_only = true};

constexpr Experiment experiment_b{
    .name = "figure_4b",
    .title = "Figure 4b: the bipedal walker among pits and stumps, three optimizers",
    .runs = [](const Context& context) { return all_runs(context, obstacles); },
    .read = [](const Context& context, Report& report) { read(context, report, obstacles); },
    .full_precision_only = true};

}  // namespace gradus::reproduce::figure_4
