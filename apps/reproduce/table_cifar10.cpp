// Figure 2 of the paper, top: test accuracy, additional parameters and additional time of five methods on CIFAR-10;
// and, as a sixth row of ours, momentum with the step length that FOP ends with.
#include <algorithm>
#include <cmath>

#include "apps/reproduce/experiment.h"
#include "apps/reproduce/protocols.h"
#include "apps/reproduce/statistics.h"

namespace gradus::reproduce {
namespace {

struct Method {
  const char* name;
  const char* preconditioner;
  double accuracy, deviation;  ///< published, %
  const char* parameters;      ///< published
  double time;                 ///< published, % more
};
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

// Known only when FOP is finished.
std::vector<Run> control_runs(const Context& context) {
  std::vector<double> gains;
  for (const Run& run : runs_of(context, methods[4])) {
    const Outcome* outcome = context.find(run);
    if (!outcome) return {};
    if (outcome->diverged.empty()) gains.push_back(outcome->at("gain"));
  }
  if (gains.empty()) return {};
  std::vector<Run> runs = runs_of(context, methods[0]);
  for (Run& run : runs) {
    run.flags.lr = *run.flags.lr * two_digits(mean(gains));
    run.name = "momentum with FOP's step, seed " + std::to_string(run.flags.seed);
  }
  return runs;
}

}  // namespace

std::vector<Run> runs_table_cifar10(const Context& context) {
  std::vector<Run> runs;
  for (const Method& method : methods)
    for (const Run& run : runs_of(context, method)) runs.push_back(run);
  for (const Run& run : control_runs(context)) runs.push_back(run);
  return runs;
}

void read_table_cifar10(const Context& context, Report& report) {
  report.protocol(size(context).text() + ", " + std::to_string(seeds(context).size()) + " seeds");
  Table table{{"method", "paper %", "final %", "difference", "best %", "n", "minus momentum, 95 % interval",
               "parameters: paper", "counted so", "stored", "time: paper", "measured", "verdict"},
              {}};
  const std::vector<Run> momentum = runs_of(context, methods[0]);
  const std::vector<double> baseline = values_of(context, momentum, "final_accuracy", 100);
  const auto seconds = [&](const std::vector<Run>& runs) {
    double sum = 0;
    for (const Run& run : runs) sum += context.at(run).seconds;
    return sum;
  };
  std::vector<apps::Record> finals, lines;
  std::vector<double> means;
  const auto add = [&](const std::string& name, const std::vector<Run>& runs, const Method* published) {
    const std::vector<double> final = values_of(context, runs, "final_accuracy", 100),
                              best = values_of(context, runs, "best_accuracy", 100);
    const PairedDifference gain = paired_difference(final, baseline);
    const Outcome& first = context.at(runs[0]);
    const bool learned = first.values.contains("paper_parameters");
    const double difference = published ? mean(final) - published->accuracy : std::nan("");
    size_t diverged = 0;
    for (const Run& run : runs) diverged += context.at(run).diverged.empty() ? 0 : 1;
    std::string verdict = !published                                     ? ""
                          : std::abs(difference) <= published->deviation ? "within one sd of the paper"
                                                                         : "not within one sd of the paper";
    if (diverged > 0) verdict += (verdict.empty() ? "" : ", ") + std::to_string(diverged) + " diverged";
    table.rows.push_back({name, published ? plus_minus(published->accuracy, published->deviation, 1) : "",
                          plus_minus(mean(final), standard_deviation(final), 2), fixed(difference, 2),
                          plus_minus(mean(best), standard_deviation(best), 2), std::to_string(final.size()),
                          plus_minus(gain.mean, gain.half_width, 2), published ? published->parameters : "",
                          learned ? fixed(first.at("paper_parameters"), 0) : "0",
                          learned ? fixed(first.at("stored_parameters"), 0) : "0",
                          published ? "+" + fixed(published->time, 1) + " %" : "",
                          fixed(100 * (seconds(runs) / seconds(momentum) - 1), 1) + " %", verdict});
    if (published) means.push_back(mean(final));
    for (size_t i = 0; i < final.size(); ++i)
      finals.push_back({{"method", name},
                        {"seed", static_cast<int64_t>(runs[i].flags.seed)},
                        {"learning_rate", *runs[i].flags.lr},
                        {"final_accuracy", final[i]},
                        {"best_accuracy", best[i]}});
    for (const char* column : {"test_accuracy", "train_loss"})
      for (const apps::Record& row :
           band(context, runs, "accuracy", column, {{"curve", std::string(column)}, {"method", name}}))
        lines.push_back(row);
  };
  for (const Method& method : methods) add(method.name, runs_of(context, method), &method);
  const std::vector<Run> control = control_runs(context);
  std::string about_control = "Every FOP run diverged, so there is no step of FOP's to give to momentum. ";
  if (!control.empty()) {
    add("momentum, FOP's step (ours)", control, nullptr);
    about_control = "Ours: momentum with the learning rate " + apps::exact(*control[0].flags.lr) +
                    ", 0.05 times the mean of |P g| / |g| over the second half of the FOP runs. ";
  }
  // PP-HD and FOP-norm share a published value.
  const bool ordered =
      means[0] < means[1] && means[1] < std::min(means[2], means[3]) && std::max(means[2], means[3]) < means[4];
  const double gap = means[4] - means[0];
  report.table(table);
  report.note(about_control + "The paper's order of the five methods " + (ordered ? "holds" : "does not hold") +
              "; FOP minus momentum is " + fixed(gap, 2) +
              " points (paper: 0.6). Differences are paired by seed. Time is "
              "that of the training steps of these runs, whatever else the machine did meanwhile.");
  report.csv("accuracies", finals);
  report.csv("curves", lines);
  for (const char* column : {"test_accuracy", "train_loss"}) {
    std::string commands = std::string("set xlabel 'step'\nset ylabel '") + column +
                           "'\nset key outside right\nset style fill transparent solid 0.15 noborder\n"
                           "of(m, c) = strcol(1) eq '" +
                           column + "' && strcol(2) eq m ? column(c) : NaN\nplot ";
    std::vector<std::string> names;
    for (const Method& method : methods) names.push_back(method.name);
    if (!control.empty()) names.push_back("momentum, FOP's step (ours)");
    for (size_t i = 0; i < names.size(); ++i) {
      const std::string of = "(of(\"" + names[i] + "\", ", color = " lc " + std::to_string(i + 1);
      commands += "'curves.csv' using 3:" + of + "5)):" + of + "6)) every ::1 with filledcurves" + color +
                  " notitle, '' using 3:" + of + "4)) every ::1 with lines lw 2" + color + " title \"" + names[i] +
                  "\"" + (i + 1 < names.size() ? ", " : "\n");
    }
    report.plot(column, std::string(column) + ": mean, lowest and highest of all seeds", commands, 1000, 600);
  }
}

}  // namespace gradus::reproduce
