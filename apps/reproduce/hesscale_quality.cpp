// Figure 2 of the HesScale paper (Elsayed et al. 2024): how far each estimate of the Hessian's diagonal is from the
// exact one, in a perceptron on MNIST, before and after training with Adam one image at a time. The authors' bars
// cannot be compared number by number: their program averages one of fifty Hutchinson samples, takes |Hv| for v o Hv,
// and compares BL89 in a network of other weights.
#include <cmath>

#include "apps/reproduce/curvature_error.h"
#include "apps/reproduce/experiment.h"
#include "apps/reproduce/statistics.h"

namespace gradus::reproduce::hesscale_quality {
namespace {

constexpr Activation activations[] = {Activation::relu, Activation::tanh};

int64_t steps(const Context& context) { return context.by_scale<int64_t>(20, 2000, 10000); }
int64_t samples(const Context& context) { return context.by_scale<int64_t>(10, 20, 100); }

std::vector<Run> runs_with(const Context& context, Activation activation) {
  std::vector<Run> runs;
  for (uint64_t seed : context.seeds(2, 40, 40)) {
    Run run;
    run.name = std::string(gradus::name(activation)) + ", seed " + std::to_string(seed);
    run.images = Images::mnist;
    run.hidden = {64, 64};
    run.activation = activation;
    run.train_samples = context.by_scale<int64_t>(600, 60000, 60000);
    run.test_samples = context.by_scale<int64_t>(200, 1000, 10000);
    run.steps = steps(context);
    run.evaluate_every = run.steps;
    run.curvature_samples = samples(context);
    run.flags.rule = "adam";
    run.flags.preconditioner = "none";
    run.flags.lr = 1e-3;
    run.flags.weight_decay = 0;
    run.flags.decay_mode = "coupled";
    run.flags.batch = 1;
    run.flags.seed = seed;
    runs.push_back(run);
  }
  return runs;
}

/// One column's errors of an estimator in one row of each training: 0 before it, 1 after.
std::vector<double> errors_of(const Context& context, const std::vector<Run>& runs, const std::string& estimator,
                              size_t row, size_t column) {
  std::vector<double> errors;
  for (const Run& run : runs) errors.push_back(context.at(run).series_at("error " + estimator).rows.at(row).at(column));
  return errors;
}

std::vector<Run> runs(const Context& context) {
  std::vector<Run> runs;
  for (Activation activation : activations)
    for (const Run& run : runs_with(context, activation)) runs.push_back(run);
  return runs;
}

void read(const Context& context, Report& report) {
  report.protocol(std::to_string(steps(context)) + " steps of Adam, " + std::to_string(samples(context)) + " images, " +
                  std::to_string(runs_with(context, Activation::relu).size()) + " seeds");
  Table table{
      {"activation", "training", "estimate", "fc1", "fc2", "fc3 (of the diagonal)", "all", "sd over seeds", "verdict"},
      {}};
  std::vector<apps::Record> rows;
  for (Activation activation : activations) {
    const std::vector<Run> runs = runs_with(context, activation);
    for (size_t when : {0u, 1u}) {
      const auto average = [&](const std::string& estimator, size_t column) {
        return mean(errors_of(context, runs, estimator, when, column));
      };
      for (const std::string estimator : estimators) {
        const std::vector<double> all = errors_of(context, runs, estimator, when, 4),
                                  of_hesscale = errors_of(context, runs, estimators[0], when, 4);
        std::vector<double> ratios;
        for (size_t i = 0; i < all.size(); ++i) ratios.push_back(all[i] / of_hesscale[i]);
        const double ratio = mean(all) / mean(of_hesscale), last = average(estimator, 3) / average("zero", 3);
        const auto over = [&](size_t column) { return average(estimator, column) / average(estimators[0], column); };
        table.rows.push_back({gradus::name(activation), when == 0 ? "before" : "after", estimator, fixed(over(1), 3),
                              fixed(over(2), 3), fixed(last, 4), fixed(ratio, 3), fixed(standard_deviation(ratios), 3),
                              estimator == estimators[0]    ? "the unit"
                              : std::abs(ratio - 1) < 0.005 ? "as HesScale"
                              : ratio < 1                   ? "closer than HesScale"
                                                            : "further than HesScale"});
        rows.push_back({{"activation", std::string(gradus::name(activation))},
                        {"training", std::string(when == 0 ? "before" : "after")},
                        {"estimate", estimator},
                        {"fc1", average(estimator, 1)},
                        {"fc2", average(estimator, 2)},
                        {"fc3", average(estimator, 3)},
                        {"all", average(estimator, 4)},
                        {"ratio", ratio}});
      }
    }
  }
  report.table(table);
  report.note(
      "Mean over seeds and images of the L1 distance between the estimate and the exact diagonal, one image at a time, "
      "over HesScale's; fc3, where HesScale is exact, over the size of the diagonal there. BL89 is HesScale with the "
      "softmax as a function of each element. Hutchinson is v o (H v). The paper's claims: HesScale is closest of the "
      "cheap estimates, BL89 and Monte Carlo are further. Its numbers were not published.");
  report.csv("errors", rows);
  std::string commands =
      "set logscale y\nset ylabel 'L1 error over that of HesScale'\nset style data histograms\nset style fill solid "
      "0.7\n"
      "set xtics rotate by -35\nset format y '%.0e'\nset key outside right\nset bmargin 6\n"
      "of(a, t) = strcol(1) eq a && strcol(2) eq t ? column(8) : NaN\nplot ";
  const size_t count = std::size(estimators);
  size_t block = 0;
  for (Activation activation : activations)
    for (const char* when : {"before", "after"}) {
      const std::string from = std::to_string(1 + block * count), to = std::to_string((block + 1) * count);
      commands += std::string(block ? ", " : "") + "'errors.csv' every ::" + from + "::" + to +
                  " using 8:xtic(3) title '" + gradus::name(activation) + ", " + when + " training'";
      ++block;
    }
  report.plot("errors", "Errors of estimates of the Hessian's diagonal", commands + "\n", 1000, 600);
}

}  // namespace

constexpr Experiment experiment{.name = "hesscale_quality",
                                .title = "HesScale: errors of estimates of the Hessian's diagonal",
                                .images = Images::mnist,
                                .runs = runs,
                                .read = read,
                                .full_precision_only = true};

}  // namespace gradus::reproduce::hesscale_quality
