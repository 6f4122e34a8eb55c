#include "apps/reproduce/walker_runs.h"

#include <cmath>
#include <filesystem>

#include "apps/common/command_line.h"
#include "apps/common/progress.h"
#include "apps/reproduce/gnuplot.h"
#include "apps/reproduce/statistics.h"
#include "apps/reproduce/train.h"
#include "core/error.h"
#include "core/parallel.h"

namespace gradus::reproduce {
namespace {

constexpr int64_t final_episodes = 100;
const std::vector<std::string> columns{"iteration", "environment_steps", "episode_return", "evaluation", "best"};

std::optional<Outcome> train_walker(const walker::Plan& plan, const Supervision& supervision) {
  walker::Training training(plan);
  Outcome outcome;
  outcome.threads = num_threads();
  outcome.machine = this_machine();
  double seconds_before = 0;
  if (const auto checkpoint = unfinished(supervision)) {
    training.load(*checkpoint);
    seconds_before = checkpoint->number("seconds");
    const auto machine = checkpoint->metadata.find("machine");
    outcome.machine = machine == checkpoint->metadata.end() ? "" : both_machines(machine->second, outcome.machine);
  }
  const apps::Stopwatch watch;
  const auto seconds = [&] { return seconds_before + watch.seconds(); };
  apps::Stopwatch since_saved;
  const auto save = [&] {
    apps::Checkpoint checkpoint = training.checkpoint();
    checkpoint.metadata["seconds"] = apps::exact(seconds());
    checkpoint.metadata["machine"] = outcome.machine;
    apps::write_checkpoint(supervision.checkpoint, checkpoint);
    since_saved = apps::Stopwatch();
  };
  try {
    while (!training.finished()) {
      training.iterate();
      supervision.watch(training.iterations());
      if (training.finished()) break;
      if (supervision.stop()) {
        save();
        return std::nullopt;
      }
      if (since_saved.seconds() > seconds_between_checkpoints) save();
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::value) throw;
    outcome.diverged = error.what();
  }
  for (const apps::Record& row : training.rows()) {
    if (std::isnan(row.number("evaluation"))) continue;
    std::vector<double> values;
    for (const std::string& column : columns) values.push_back(row.number(column));
    outcome.add("curve", columns, values);
  }
  std::vector<double> scales;
  if (plan.settings.optimizer.step_delta > 0)
    for (const apps::Record& row : training.rows()) scales.push_back(row.number("step_scale"));
  if (!scales.empty()) outcome.values["step_scale"] = mean(scales);
  outcome.seconds = seconds();
  outcome.values["best"] = training.best();
  outcome.values["final_return"] = training.best_iteration() > 0 ? mean(training.play_best(final_episodes)) : fall;
  return outcome;
}

}  // namespace

Run walker_run(const std::string& name, const walker::Plan& plan) {
  Run run;
  run.name = name + ", seed " + std::to_string(plan.settings.seed);
  run.steps = plan.settings.iterations;
  run.flags.seed = plan.settings.seed;
  run.other = plan.record();
  run.routine = [plan](const Supervision& supervision) { return train_walker(plan, supervision); };
  return run;
}

std::vector<BestSoFar> best_so_far(const Context& context, const std::vector<Run>& runs) {
  size_t length = 0;
  std::vector<const Series*> curves;
  for (const Run& run : runs) {
    const auto& series = context.at(run).series;
    const auto found = series.find("curve");
    if (found == series.end()) continue;
    curves.push_back(&found->second);
    length = std::max(length, found->second.rows.size());
  }
  std::vector<BestSoFar> result;
  for (size_t i = 0; i < length; ++i) {
    std::vector<double> values;
    values.resize(runs.size() - curves.size(), fall);  // those that diverged before their first evaluation
    double iteration = 0;
    for (const Series* curve : curves) {
      values.push_back(curve->rows[std::min(i, curve->rows.size() - 1)].back());
      if (i < curve->rows.size()) iteration = curve->rows[i][0];
    }
    const Interval interval = bootstrap_median(values);
    result.push_back({iteration, median(values), interval.low, interval.high});
  }
  return result;
}

std::vector<apps::Record> records_of(const std::vector<BestSoFar>& curve, const apps::Record& labels) {
  std::vector<apps::Record> rows;
  for (const BestSoFar& point : curve) {
    apps::Record row = labels;
    row.add({{"iteration", point.iteration}, {"median", point.median}, {"low", point.low}, {"high", point.high}});
    rows.push_back(row);
  }
  return rows;
}

std::string curve_commands(const std::string& file, const std::vector<std::string>& labels) {
  return "set xlabel 'PPO iteration'\nset ylabel 'best return so far'\nset key bottom right\n" +
         lines_with_bands(file, labels, {});
}

}  // namespace gradus::reproduce
