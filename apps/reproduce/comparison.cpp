#include "apps/reproduce/comparison.h"

#include <algorithm>
#include <cmath>

#include "apps/reproduce/protocols.h"
#include "apps/reproduce/statistics.h"

namespace gradus::reproduce {

void order_by_seed(std::vector<Run>& runs) {
  std::stable_sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) { return a.flags.seed < b.flags.seed; });
}

void report_comparison(const Context& context, const Comparison& comparison, Report& report) {
  Table table{{"method", "paper %", "final %", "difference", "best %", "n", "minus momentum, 95 % interval",
               "parameters: paper", "counted so", "stored", "time: paper", "measured", "verdict"},
              {}};
  const std::vector<Run> momentum = comparison.runs_of(comparison.methods[0]);
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
  for (const Method& method : comparison.methods) add(method.name, comparison.runs_of(method), &method);
  const std::vector<Run>& control = comparison.control;
  std::string about_control;
  if (comparison.has_control)
    about_control = "Every FOP run diverged, so there is no step of FOP's to give to momentum. ";
  std::vector<std::string> names;
  for (const Method& method : comparison.methods) names.push_back(method.name);
  const auto add_ours = [&](const std::string& name, const std::vector<Run>& runs) {
    if (runs.empty()) return;
    add(name, runs, nullptr);
    names.push_back(name);
  };
  add_ours("momentum, FOP's step (ours)", control);
  add_ours("FOP on the momentum (ours)", comparison.on_momentum);
  if (!control.empty()) {
    about_control = "Ours: momentum with the learning rate " + fixed(*control[0].flags.lr, 4) + ", " +
                    fixed(*momentum[0].flags.lr, 4) +
                    " times the mean of |P g| / |g| over the second half of the FOP runs. ";
  }
  const std::string about_momentum =
      comparison.on_momentum.empty() ? "" : "FOP on the momentum: P multiplies the momentum in place of the gradient. ";
  // PP-HD and FOP-norm share a published value.
  const bool ordered =
      means[0] < means[1] && means[1] < std::min(means[2], means[3]) && std::max(means[2], means[3]) < means[4];
  const double gap = means[4] - means[0];
  report.table(table);
  report.note(about_control + about_momentum + "The paper's order of the five methods " +
              (ordered ? "holds" : "does not hold") + "; FOP minus momentum is " + fixed(gap, 2) +
              " points (paper: " + fixed(comparison.published_gap, 1) +
              "). Differences are paired by seed. Time is "
              "that of the training steps of these runs, whatever else the machine did meanwhile.");
  report.csv("accuracies", finals);
  report.csv("curves", lines);
  for (const char* column : {"test_accuracy", "train_loss"}) {
    std::string commands = std::string("set xlabel 'step'\nset ylabel '") + column +
                           "'\nset key outside right\nset style fill transparent solid 0.15 noborder\n"
                           "of(m, c) = strcol(1) eq '" +
                           column + "' && strcol(2) eq m ? column(c) : NaN\nplot ";
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
