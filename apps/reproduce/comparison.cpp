#include "apps/reproduce/comparison.h"

#include <algorithm>
#include <cmath>
#include <compare>
#include <optional>
#include <set>
#include <utility>

#include "apps/reproduce/gnuplot.h"
#include "apps/reproduce/protocols.h"
#include "apps/reproduce/statistics.h"
#include "core/error.h"
#include "core/joined.h"

namespace gradus::reproduce {

void order_by_seed(std::vector<Run>& runs) {
  std::stable_sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) { return a.flags.seed < b.flags.seed; });
}

namespace {

/// A number of matrices that the trainings of a row counted; those that diverged at once did not.
std::string counted(const Context& context, const std::vector<Run>& runs, const std::string& value) {
  for (const Run& run : runs)
    if (const Outcome& outcome = context.at(run); outcome.values.contains(value)) return fixed(outcome.at(value), 0);
  return runs.front().flags.preconditioner == "none" ? "0" : "-";
}

/// Time per step of the rows, which is compared only where it can be.
class Timing {
 public:
  Timing(const Context& context, const std::vector<Run>& baseline)
      : context_(context), places_(places_of(baseline)), seconds_(seconds_of(baseline)) {}

  /// "1.5 %" more than the baseline; "-" where a training diverged after steps that nobody counted, or machines or
  /// threads differ. (Whatever else decides the time, as the precision, is in the settings, and so the same.)
  std::string more(const std::string& row, const std::vector<Run>& runs) {
    const Places places = places_of(runs);
    if (places != places_ || places.size() > 1) {
      others_.emplace_back(row, places);
      return "-";
    }
    const std::string percent = fixed(100 * (seconds_of(runs) / seconds_ - 1), 1);
    return percent == "-" ? percent : percent + " %";
  }
  /// For the note, with a blank before: which rows' time is not compared, as their threads or machines are others.
  std::string note() const {
    if (others_.empty()) return "";
    std::set<std::string> machines;
    const auto add_machines = [&](const Places& places) {
      for (const Place& place : places) machines.insert(place.machine);
    };
    add_machines(places_);
    for (const auto& [row, places] : others_) add_machines(places);
    const bool apart = machines.size() > 1;
    const auto name = [&](const Place& place) {
      const std::string threads = std::to_string(place.threads);
      if (!apart) return threads;
      return threads + " on " + (place.machine.empty() ? "an unknown machine" : place.machine);
    };
    std::string note = text(" Time is not compared across ", apart ? "machines or " : "",
                            "numbers of threads: the baseline ran with ", joined(places_, name, " and "));
    for (const auto& [row, places] : others_) note += "; " + row + " with " + joined(places, name, " and ");
    return note + ".";
  }

 private:
  struct Place {
    int64_t threads;
    std::string machine;
    auto operator<=>(const Place&) const = default;
  };
  using Places = std::set<Place>;

  Places places_of(const std::vector<Run>& runs) const {
    Places places;
    for (const Run& run : runs) places.insert({context_.at(run).threads, context_.at(run).machine});
    return places;
  }
  /// Per step; not a number where steps were not counted.
  double seconds_of(const std::vector<Run>& runs) const {
    double seconds = 0, steps = 0;
    for (const Run& run : runs) {
      const Outcome& outcome = context_.at(run);
      const std::optional<int64_t> taken = outcome.steps_of(run.steps);
      seconds += outcome.seconds;
      steps += taken ? static_cast<double>(*taken) : std::nan("");
    }
    return seconds / steps;
  }

  const Context& context_;
  Places places_;
  double seconds_;
  std::vector<std::pair<std::string, Places>> others_;  ///< rows with places of their own
};

}  // namespace

bool keeps_order(std::span<const Method> methods, const std::vector<double>& means) {
  for (size_t i = 0; i < methods.size(); ++i)
    for (size_t j = 0; j < methods.size(); ++j)
      if (methods[i].accuracy < methods[j].accuracy && !(means[i] < means[j])) return false;
  return true;
}

void report_comparison(const Context& context, const Comparison& comparison, Report& report) {
  Table table{{"method", "paper %", "final %", "difference", "best %", "n", "minus momentum, 95 % interval",
               "parameters: paper", "counted so", "stored", "time: paper", "measured", "verdict"},
              {}};
  const std::vector<Run> momentum = comparison.runs_of(comparison.methods[0]);
  const std::vector<double> baseline = values_of(context, momentum, "final_accuracy", 100);
  Timing timing(context, momentum);
  std::vector<Run> all;
  std::vector<apps::Record> finals, lines;
  std::vector<double> means;
  const auto add = [&](const std::string& name, const std::vector<Run>& runs, const Method* published) {
    const std::vector<double> final = values_of(context, runs, "final_accuracy", 100),
                              best = values_of(context, runs, "best_accuracy", 100);
    const PairedDifference gain = paired_difference(final, baseline);
    const double difference = published ? mean(final) - published->accuracy : std::nan("");
    const char* const verdict = !published                                     ? ""
                                : std::abs(difference) <= published->deviation ? "within one sd of the paper"
                                                                               : "not within one sd of the paper";
    all.insert(all.end(), runs.begin(), runs.end());
    table.rows.push_back({name, published ? plus_minus(published->accuracy, published->deviation, 1) : "",
                          plus_minus(mean(final), standard_deviation(final), 2), fixed(difference, 2),
                          plus_minus(mean(best), standard_deviation(best), 2), std::to_string(final.size()),
                          plus_minus(gain.mean, gain.half_width, 2), published ? published->parameters : "",
                          counted(context, runs, "paper_parameters"), counted(context, runs, "stored_parameters"),
                          published ? "+" + fixed(published->time, 1) + " %" : "", timing.more(name, runs),
                          with_diverged(verdict, count_diverged(context, runs))});
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
    about_control = comparison.without_gain == 0
                        ? "Every FOP run diverged, so there is no step of FOP's to give to momentum. "
                        : "No FOP run has a gain |P g| / |g|, so there is no step of FOP's to give to momentum. ";
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
    about_control =
        "Ours: momentum with the learning rate " + fixed(*control[0].flags.lr, 4) + ", " +
        fixed(*momentum[0].flags.lr, 4) + " times the mean of |P g| / |g| over the second half of the FOP runs" +
        (comparison.without_gain == 0
             ? ""
             : ", but for " + std::to_string(comparison.without_gain) + " where it is not a finite number") +
        ". ";
  }
  const std::string about_momentum =
      comparison.on_momentum.empty() ? "" : "FOP on the momentum: P multiplies the momentum in place of the gradient. ";
  const double gap = means[4] - means[0];
  report.table(table);
  report.note(about_control + about_momentum + "The paper's order of the five methods " +
              (keeps_order(comparison.methods, means) ? "holds" : "does not hold") + "; FOP minus momentum is " +
              fixed(gap, 2) + " points (paper: " + fixed(comparison.published_gap, 1) +
              "). Differences are paired by seed. Time is "
              "that of a training step of these runs, whatever else the machine did meanwhile." +
              timing.note() + " " + comparison.recipe + about_diverged(context, all));
  report.csv("accuracies", finals);
  report.csv("curves", lines);
  for (const char* column : {"test_accuracy", "train_loss"}) {
    const std::string commands =
        text("set xlabel 'step'\nset ylabel '", column, "'\nset key outside right\n",
             lines_with_bands("curves", names, {.name = 2, .x = 3, .condition = text("strcol(1) eq '", column, "'")}));
    report.plot(column, std::string(column) + ": mean, lowest and highest of all seeds", commands, 1000, 600);
  }
}

}  // namespace gradus::reproduce
