// Step-size scaling of the HesScale paper (Elsayed et al. 2024) in reinforcement learning: how many trainings of the
// bipedal walker collapse, over a grid of learning rates, with Adam and with AdamHesScale, which shortens Adam's steps
// where HesScale finds the loss too curved. PPO, networks and the bound are the authors'; their tasks are MuJoCo's.
#include <algorithm>
#include <cmath>
#include <set>

#include "apps/reproduce/experiment.h"
#include "apps/reproduce/statistics.h"
#include "apps/reproduce/walker_runs.h"
#include "core/joined.h"

namespace gradus::reproduce::hesscale_walker {
namespace {

struct Method {
  const char* title;
  double step_delta;
};
constexpr Method methods[] = {{"Adam", 0}, {"AdamHesScale", 1e-8}};

struct Size {
  int64_t iterations, evaluate_every;
  std::vector<double> lrs;
};
const std::vector<double> authors_lrs{3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1};

Size size(const Context& context) {
  return context.by_scale<Size>({4, 2, {1e-3, 1e-2}}, {600, 20, {1e-4, 3e-4, 1e-3, 3e-3, 1e-2}},
                                {977, 20, authors_lrs});  // 977: two million steps
}

// 2,048 steps of one environment, 10 epochs of 32 minibatches, apart networks of 64-64 tanh, observations and rewards
// normalized, no limit of gradients, no decay of the learning rate.
walker::Plan plan_of(const Context& context, const Method& method, double lr, uint64_t seed) {
  const Size sized = size(context);
  walker::Plan plan;
  plan.settings.policy = {.hidden = {64, 64}, .tanh_mean = false, .shared = false, .normalize = true};
  plan.settings.ppo = {.envs = 1,
                       .horizon = 2048,
                       .minibatch = 64,
                       .clip_value = false,
                       .value_coefficient = 1,
                       .max_grad_norm = 0,
                       .normalize_reward = true};
  plan.settings.optimizer = {.name = "adam", .lr = lr, .step_delta = method.step_delta};
  plan.settings.seed = seed;
  plan.settings.iterations = sized.iterations;
  plan.evaluate_every = sized.evaluate_every;
  plan.episodes = context.by_scale<int64_t>(1, 5, 10);
  if (context.scale() == Scale::smoke) {
    plan.settings.ppo.horizon = 256;
    plan.settings.environment.time_limit = 100;
  }
  return plan;
}

std::vector<Run> runs_of(const Context& context, const Method& method, double lr) {
  std::vector<Run> runs;
  for (uint64_t seed : context.seeds(1, 3, 10))
    runs.push_back(walker_run(std::string(method.title) + ", learning rate " + scientific(lr),
                              plan_of(context, method, lr, seed)));
  return runs;
}

struct Judged {
  double best = fall, last = fall, scale = std::nan("");
  bool diverged = false, collapsed = true;
  uint64_t seed = 0;
  std::vector<double> evaluations = {};
};
Judged judge(const Outcome& outcome, uint64_t seed) {
  Judged judged{.diverged = !outcome.diverged.empty(), .seed = seed};
  if (const auto scale = outcome.values.find("step_scale"); scale != outcome.values.end()) judged.scale = scale->second;
  const auto curve = outcome.series.find("curve");
  if (curve == outcome.series.end()) return judged;  // it diverged before the first evaluation
  std::vector<double>& evaluations = judged.evaluations;
  for (const std::vector<double>& row : curve->second.rows) evaluations.push_back(row[3]);
  judged.best = outcome.at("best");
  judged.last = judged.diverged ? fall : mean_of_last(evaluations);
  judged.collapsed = judged.diverged || fell_back(evaluations, fall);
  return judged;
}

/// Without those that repeat another, to the bit, with the same seed: the same training under another learning rate.
std::vector<Judged> distinct(const std::vector<Judged>& of) {
  std::vector<Judged> kept;
  std::set<std::pair<uint64_t, std::vector<double>>> seen;
  for (const Judged& judged : of)
    if (judged.evaluations.empty() || seen.insert({judged.seed, judged.evaluations}).second) kept.push_back(judged);
  return kept;
}

int64_t count(const std::vector<Judged>& of, bool Judged::*what) {
  return std::count_if(of.begin(), of.end(), [&](const Judged& judged) { return judged.*what; });
}

/// The median of those that have it.
double middle(const std::vector<Judged>& of, double Judged::*what) {
  std::vector<double> values;
  for (const Judged& judged : of)
    if (!std::isnan(judged.*what)) values.push_back(judged.*what);
  return median(values);
}

std::string share(int64_t part, size_t whole) {
  return std::to_string(part) + " of " + std::to_string(whole) + ", " +
         fixed(100 * static_cast<double>(part) / static_cast<double>(whole), 0) + " %";
}

/// Of collapses, 1 each, paired by learning rate and seed.
PairedDifference more_collapses(const std::vector<Judged>& of, const std::vector<Judged>& of_adam) {
  const auto lost = [](const std::vector<Judged>& all) {
    std::vector<double> values;
    for (const Judged& judged : all) values.push_back(judged.collapsed ? 1 : 0);
    return values;
  };
  return paired_difference(lost(of), lost(of_adam));
}

/// `of_adam`: Adam's trainings with the same learning rates and seeds.
std::vector<std::string> table_row(const Method& method, const std::string& lr, const std::vector<Judged>& of,
                                   const std::vector<Judged>& of_adam) {
  const int64_t collapsed = count(of, &Judged::collapsed);
  const std::vector<Judged> apart = distinct(of);
  return {method.title,
          lr,
          share(count(of, &Judged::diverged), of.size()),
          share(collapsed, of.size()),
          share(count(apart, &Judged::collapsed), apart.size()),
          fixed(middle(of, &Judged::best), 1),
          fixed(middle(of, &Judged::last), 1),
          fixed(middle(of, &Judged::scale), 4),
          method.step_delta == 0 ? "the reference"
                                 : in_words(more_collapses(of, of_adam), {.above = "more collapses than Adam",
                                                                          .below = "fewer collapses than Adam",
                                                                          .equal = "as many collapses as Adam",
                                                                          .open = "not told from Adam"})};
}

/// A line per method over the learning rate: a column of shares.csv.
std::string plot_commands(const char* column, const char* label) {
  const auto line = [&](const Method& method) {
    return text("'shares.csv' using 2:(strcol(1) eq '", method.title, "' ? column(", column,
                ") : NaN) every ::1 with linespoints lw 2 pt 7 title '", method.title, "'");
  };
  return text("set ylabel '", label, "'\nplot ", joined(methods, line), "\n");
}

std::vector<Run> runs(const Context& context) {
  std::vector<Run> runs;
  for (double lr : size(context).lrs)
    for (const Method& method : methods)
      for (Run& run : runs_of(context, method, lr)) runs.push_back(std::move(run));
  return runs;
}

void read(const Context& context, Report& report) {
  const Size sized = size(context);
  const walker::Plan example = plan_of(context, methods[0], sized.lrs[0], 0);
  const size_t seeds = runs_of(context, methods[0], sized.lrs[0]).size();
  report.protocol(std::to_string(sized.lrs.size()) + " of " + std::to_string(authors_lrs.size()) + " learning rates, " +
                  std::to_string(seeds) + " of 10 seeds, " +
                  std::to_string(sized.iterations * example.settings.steps_per_iteration()) + " of 2 million steps");
  Table table{{"optimizer", "learning rate", "diverged", "collapsed", "of distinct ones", "best return, median",
               "last return, median", "steps scaled by", "verdict"},
              {}};
  std::string repeated;
  std::vector<apps::Record> trainings, shares;
  std::vector<Judged> all_adams;
  for (const Method& method : methods) {
    std::vector<Judged> all;
    for (double lr : sized.lrs) {
      std::vector<Judged> judged, adams;
      for (const Run& run : runs_of(context, method, lr)) {
        const Judged& one = judged.emplace_back(judge(context.at(run), run.flags.seed));
        trainings.push_back({{"optimizer", std::string(method.title)},
                             {"lr", lr},
                             {"seed", static_cast<int64_t>(run.flags.seed)},
                             {"diverged", one.diverged},
                             {"collapsed", one.collapsed},
                             {"best", one.best},
                             {"last", one.last},
                             {"step_scale", one.scale}});
      }
      for (const Run& run : runs_of(context, methods[0], lr)) adams.push_back(judge(context.at(run), run.flags.seed));
      table.rows.push_back(table_row(method, scientific(lr), judged, adams));
      shares.push_back({{"optimizer", std::string(method.title)},
                        {"lr", lr},
                        {"collapsed", 100.0 * static_cast<double>(count(judged, &Judged::collapsed)) /
                                          static_cast<double>(judged.size())},
                        {"best", middle(judged, &Judged::best)},
                        {"last", middle(judged, &Judged::last)}});
      all.insert(all.end(), judged.begin(), judged.end());
    }
    if (method.step_delta == 0) all_adams = all;
    table.rows.push_back(table_row(method, "all", all, all_adams));
    if (const size_t apart = distinct(all).size(); apart < all.size())
      repeated += " Of the " + std::to_string(all.size()) + " trainings with " + method.title + " " +
                  std::to_string(apart) +
                  " are distinct: where every step is scaled, the learning rate cancels, and "
                  "several rates give one training, to the bit, which the column 'of distinct ones' counts once.";
  }
  report.table(table);
  report.note(
      "Collapsed: a training that diverged, a number of it being no longer finite, or whose last return is no nearer "
      "to its best than to -100, a fall at once: it has lost what it had learned, or never learned anything. The last "
      "return of one that diverged counts as -100. Returns "
      "are means of " +
      std::to_string(example.episodes) + " episodes without exploration, always the same ones, after every " +
      std::to_string(sized.evaluate_every) +
      " iterations; the last one is the mean of the last three. AdamHesScale: the steps of the policy and those of the "
      "value, each of a network with an optimizer of its own, are multiplied by min(1, sqrt(2 delta / sum H u^2)), "
      "delta 1e-8, H the root of a running average of HesScale's squared diagonal; the column gives the policy's "
      "factor, the median over trainings of the mean over updates. PPO, the networks, delta and the grid are the "
      "authors', but for the standard deviation, which depends on no state here; their tasks are MuJoCo's and they "
      "print no numbers. Here the task is BipedalWalker-v3. Verdicts are 95 % intervals of the difference in "
      "collapses, "
      "paired by learning rate and seed." +
      repeated);
  report.csv("trainings", trainings);
  report.csv("shares", shares);
  const std::string axis = "set logscale x\nset xlabel 'learning rate'\nset key below\n";
  report.plot("collapses", "Trainings that collapse",
              axis + "set yrange [-2:102]\n" + plot_commands("3", "collapsed, %"));
  report.plot("returns", "Return at the end, median over seeds", axis + plot_commands("5", "last return"));
}

}  // namespace

constexpr Experiment experiment{
    .name = "hesscale_walker",
    .title = "HesScale: PPO's collapses over Adam's learning rate, with scaled steps and without",
    .runs = runs,
    .read = read,
    .full_precision_only = true};

}  // namespace gradus::reproduce::hesscale_walker
