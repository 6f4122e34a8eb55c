// Ours: which recipe gives momentum the 90.9 % that the table of the paper's Figure 2 begins with. Decay,
// dropout, whitening and augmentation, which the paper does not name, decide more than its methods do.
#include <cmath>

#include "apps/reproduce/experiment.h"
#include "apps/reproduce/gnuplot.h"
#include "apps/reproduce/protocols.h"
#include "apps/reproduce/statistics.h"
#include "core/error.h"

namespace gradus::reproduce::baseline_cifar10 {
namespace {

constexpr double published = 90.9, reach = 0.3;

struct Recipe {
  const char* name;
  double decay;
  bool whiten, augment, dropout;
};
const Recipe recipes[] = {{"that of table_cifar10", 1e-3, false, false, true},
                          {"half the decay", 5e-4, false, false, true},
                          {"whitened", 1e-3, true, false, true},
                          {"crops and flips", 1e-3, false, true, true},
                          {"crops and flips with half the decay", 5e-4, false, true, true},
                          {"crops and flips without dropout", 1e-3, false, true, false},
                          {"crops and flips with half the decay, without dropout", 5e-4, false, true, false},
                          {"whitened with crops and flips", 1e-3, true, true, true}};

CifarSize size(const Context& context) {
  return context.by_scale<CifarSize>({.train = 32, .test = 20, .epochs = 2, .batch = 16, .drop_after = 1},
                                     {.train = 5000, .test = 1000, .epochs = 12, .batch = 32, .drop_after = 8}, {});
}

std::vector<uint64_t> seeds(const Context& context) { return context.seeds(1, 1, 1); }

std::vector<Run> runs_of(const Context& context, const Recipe& recipe) {
  std::vector<Run> runs;
  for (uint64_t seed : seeds(context)) {
    Run run = cifar_run(size(context), "none", seed);
    run.flags.weight_decay = recipe.decay;
    run.whiten = recipe.whiten;
    run.augment = recipe.augment;
    run.dropout = recipe.dropout;
    run.matrices_every = run.angles_every = 0;  // there is no matrix
    run.name = gradus::text("momentum, ", recipe.name, ", seed ", seed);
    runs.push_back(run);
  }
  return runs;
}

std::vector<Run> runs(const Context& context) {
  std::vector<Run> runs;
  for (const Recipe& recipe : recipes)
    for (Run& run : runs_of(context, recipe)) runs.push_back(std::move(run));
  return runs;
}

void read(const Context& context, Report& report) {
  const size_t n = seeds(context).size();
  report.protocol(gradus::text(size(context).text(), ", ", n, n == 1 ? " seed" : " seeds"));
  Table table{{"recipe", "decay", "whitened", "crops and flips", "dropout", "final %", "best %", "training %", "n",
               "paper %", "verdict"},
              {}};
  std::vector<apps::Record> finals, lines;
  std::string commands =
      "set xlabel 'step'\nset ylabel 'test accuracy'\nset key below\n"
      "of(r, c) = strcol(1) eq r ? column(c) : NaN\nplot ";
  for (const Recipe& recipe : recipes) {
    const std::vector<Run> trainings = runs_of(context, recipe);
    const std::vector<double> final = values_of(context, trainings, "final_accuracy", 100),
                              best = values_of(context, trainings, "best_accuracy", 100);
    const std::vector<apps::Record> training = band(context, trainings, "accuracy", "train_accuracy", {}, 100);
    const int64_t diverged = count_diverged(context, trainings);
    const double difference = mean(final) - published;
    table.rows.push_back(
        {recipe.name, fixed(recipe.decay, 4), recipe.whiten ? "yes" : "no", recipe.augment ? "yes" : "no",
         recipe.dropout ? "yes" : "no", plus_minus(mean(final), standard_deviation(final), 2),
         plus_minus(mean(best), standard_deviation(best), 2),
         training.empty() ? "-" : fixed(std::get<double>(training.back().fields().at(1).second), 2),
         std::to_string(final.size()), fixed(published, 1),
         diverged > 0
             ? with_diverged("", diverged)
             : gradus::text(std::abs(difference) <= reach ? "within " + fixed(reach, 1) + " of the paper: " : "",
                            fixed(std::abs(difference), 2), difference < 0 ? " below" : " above")});
    for (size_t i = 0; i < final.size(); ++i)
      finals.push_back({{"recipe", std::string(recipe.name)},
                        {"seed", static_cast<int64_t>(trainings[i].flags.seed)},
                        {"final_accuracy", final[i]},
                        {"best_accuracy", best[i]}});
    for (const apps::Record& row :
         band(context, trainings, "accuracy", "test_accuracy", {{"recipe", std::string(recipe.name)}}))
      lines.push_back(row);
    commands +=
        gradus::text("'curves.csv' using 2:(of('", csv_name(recipe.name), "', 3)) every ::1 with lines lw 2 title '",
                     recipe.name, "'", &recipe == &recipes[std::size(recipes) - 1] ? "\n" : ", ");
  }
  report.table(table);
  report.note(
      std::string("Momentum alone. Training accuracy is that of the batches of the last epoch, with dropout and "
                  "augmentation. Whitened: global contrast normalization and ZCA, as the network's authors had it.") +
      about_diverged(context, runs(context)));
  report.csv("accuracies", finals);
  report.csv("curves", lines);
  report.plot("test_accuracy", "test accuracy of momentum: mean of all seeds", commands, 1000, 600);
}

}  // namespace

constexpr Experiment experiment{.name = "baseline_cifar10",
                                .title = "Ours: recipes for momentum in Figure 2, top: All-CNN-C",
                                .images = Images::cifar10,
                                .runs = runs,
                                .read = read};

}  // namespace gradus::reproduce::baseline_cifar10
