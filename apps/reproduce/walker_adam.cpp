// Not in the paper: PPO with Adam on stock BipedalWalker-v3, with the settings of a public collection of trained
// agents, beside the score that it publishes. It tells whether environment and PPO are the real ones.
#include <cmath>

#include "apps/reproduce/experiment.h"
#include "apps/reproduce/statistics.h"
#include "apps/reproduce/walker_runs.h"

namespace gradus::reproduce::walker_adam {
namespace {

constexpr double published = 213.3, wanted = 200;  // RL Baselines3 Zoo, one run: 213.3 +- 129.5

walker::Plan plan_of(const Context& context, uint64_t seed) {
  walker::Plan plan;
  walker::use_zoo_settings(plan.settings);
  plan.settings.seed = seed;
  plan.evaluate_every = 2;
  plan.episodes = 20;
  int64_t steps = 5000000;
  if (context.scale() == Scale::smoke) {
    plan.settings.ppo.envs = 2;
    plan.settings.ppo.horizon = 64;
    plan.settings.environment.time_limit = 100;
    plan.episodes = 1;
    steps = 512;
  } else if (context.scale() == Scale::cpu) {
    steps = 2000000;
  }
  plan.settings.iterations = (steps + plan.settings.steps_per_iteration() - 1) / plan.settings.steps_per_iteration();
  return plan;
}

std::vector<Run> runs(const Context& context) {
  std::vector<Run> runs;
  for (uint64_t seed : context.seeds(1, 3, 3)) runs.push_back(walker_run("adam", plan_of(context, seed)));
  return runs;
}

void read(const Context& context, Report& report) {
  const std::vector<Run> trainings = runs(context);
  const walker::Settings settings = plan_of(context, 0).settings;
  report.protocol(std::to_string(settings.iterations * settings.steps_per_iteration()) + " steps, " +
                  std::to_string(trainings.size()) + " seeds");
  Table table{{"seed", "published", "measured", "difference", "verdict"}, {}};
  std::vector<double> scores;
  std::vector<apps::Record> rows;
  const auto add = [&](const std::string& label, double score) {
    table.rows.push_back({label, fixed(published, 1), fixed(score, 1), fixed(score - published, 1),
                          score >= wanted ? "at least 200" : "below 200"});
  };
  for (const Run& run : trainings) {
    const Outcome& outcome = context.at(run);
    scores.push_back(outcome.at("final_return"));
    add(std::to_string(run.flags.seed), scores.back());
    const auto curve = outcome.series.find("curve");
    if (curve == outcome.series.end()) continue;
    for (const std::vector<double>& row : curve->second.rows)
      rows.push_back({{"seed", std::to_string(run.flags.seed)},
                      {"environment_steps", row[1]},
                      {"episode_return", row[2]},
                      {"evaluation", row[3]},
                      {"best", row[4]}});
  }
  add("median", median(scores));
  report.table(table);
  report.note(
      "Mean return over 100 new episodes, without exploration, of the policy with the highest evaluation (20 episodes "
      "after every second iteration). Published: RL Baselines3 Zoo, PPO, one run of 5 million steps, 213.3 +- 129.5 "
      "over episodes.");
  report.csv("curves", rows);
  std::string commands =
      "set xlabel 'environment steps'\nset ylabel 'return without exploration'\nset key bottom right\n"
      "of(l, c) = strcol(1) eq l ? column(c) : NaN\nplot ";
  for (const Run& run : trainings) {
    const std::string seed = std::to_string(run.flags.seed);
    commands += "'curves.csv' using 2:(of('" + seed + "', 4)) every ::1 with lines lw 2 title 'seed " + seed + "', ";
  }
  report.plot("curves", "Return of the policy without exploration", commands + "200 dt 2 lc 'black' title '200'\n");
}

}  // namespace

constexpr Experiment experiment{.name = "walker_adam",
                                .title = "PPO with Adam on BipedalWalker-v3, beside a published score",
                                .runs = runs,
                                .read = read,
                                .full_precision_only = true};

}  // namespace gradus::reproduce::walker_adam
