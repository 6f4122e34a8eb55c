// Figure 2 of the paper, top: test accuracy, additional parameters and additional time of five methods on CIFAR-10;
// and, as rows of ours, momentum with the step length that FOP ends with, and FOP with P on the momentum.
#include <cmath>

#include "apps/reproduce/comparison.h"
#include "apps/reproduce/experiment.h"
#include "apps/reproduce/protocols.h"
#include "apps/reproduce/statistics.h"

namespace gradus::reproduce::table_cifar10 {
namespace {

const Method methods[] = {{"momentum", "none", 90.9, 0.1, "0", 0.0},
                          {"S-HD", "s-hd", 91.0, 0.2, "9", 0.2},
                          {"PP-HD", "pp-hd", 91.3, 0.3, "1.4M", 5.9},
                          {"FOP-norm", "fop-norm", 91.3, 0.1, "65", 1.0},
                          {"FOP", "fop", 91.5, 0.2, "65", 0.8}};

CifarSize size(const Context& context) {
  return context.by_scale<CifarSize>(
      {.train = 32, .test = 20, .epochs = 2, .batch = 16, .drop_after = 1, .dropout = false},
      {.train = 5000, .test = 1000, .epochs = 6, .batch = 32, .drop_after = 4, .dropout = false}, {});
}

std::vector<uint64_t> seeds(const Context& context) { return context.seeds(2, 3, 3); }

// Two digits of the mean gain |P g| / |g| over the seeds: enough for a control, and the same on every machine.
double two_digits(double value) { return std::stod(scientific(value)); }

std::vector<Run> runs_of(const Context& context, const Method& method) {
  std::vector<Run> runs;
  for (uint64_t seed : seeds(context)) runs.push_back(cifar_run(size(context), method.preconditioner, seed));
  return runs;
}

std::vector<Run> runs_on_momentum(const Context& context) {
  std::vector<Run> runs = runs_of(context, methods[4]);
  for (Run& run : runs) {
    run.flags.acts_on = "direction";
    run.name = "fop on the momentum, seed " + std::to_string(run.flags.seed);
  }
  return runs;
}

/// Momentum with the step of FOP's trainings; empty where none has a gain, or one is not finished.
struct Control {
  std::vector<Run> runs = {};
  int64_t left_out = 0;  ///< trainings that did not diverge and have no gain: their last gradients were zero
};
Control control(const Context& context) {
  Control control;
  std::vector<double> gains;
  for (const Run& run : runs_of(context, methods[4])) {
    const Outcome* outcome = context.find(run);
    if (!outcome) return {};
    if (!outcome->diverged.empty()) continue;
    if (const double gain = outcome->at("gain"); std::isfinite(gain))
      gains.push_back(gain);
    else
      ++control.left_out;
  }
  if (gains.empty()) return control;
  control.runs = runs_of(context, methods[0]);
  for (Run& run : control.runs) {
    run.flags.lr = *run.flags.lr * two_digits(mean(gains));
    run.name = "momentum with FOP's step, seed " + std::to_string(run.flags.seed);
  }
  return control;
}

std::vector<Run> runs(const Context& context) {
  std::vector<Run> runs;
  for (const Method& method : methods)
    for (const Run& run : runs_of(context, method)) runs.push_back(run);
  for (const Run& run : runs_on_momentum(context)) runs.push_back(run);
  order_by_seed(runs);
  for (const Run& run : control(context).runs) runs.push_back(run);
  return runs;
}

void read(const Context& context, Report& report) {
  report.protocol(size(context).text() + ", " + std::to_string(seeds(context).size()) + " seeds");
  const Control of_step = control(context);
  report_comparison(context,
                    {.methods = methods,
                     .runs_of = [&](const Method& method) { return runs_of(context, method); },
                     .published_gap = 0.6,
                     .has_control = true,
                     .control = of_step.runs,
                     .without_gain = of_step.left_out,
                     .on_momentum = runs_on_momentum(context),
                     .recipe = size(context).recipe()},
                    report);
}

}  // namespace

constexpr Experiment experiment{.name = "table_cifar10",
                                .title = "Figure 2, top: All-CNN-C on CIFAR-10, five methods",
                                .images = Images::cifar10,
                                .runs = runs,
                                .read = read};

}  // namespace gradus::reproduce::table_cifar10
