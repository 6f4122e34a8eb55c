// Trainings of the bipedal walker for the ledger, and their curves.
#pragma once

#include <string>
#include <vector>

#include "apps/reproduce/context.h"
#include "apps/walker/training.h"

namespace gradus::reproduce {

/// Values: best, the highest evaluation; final_return, the mean over 100 new episodes of the policy that reached it;
/// step_scale, where steps are scaled: what the policy's were multiplied with, on average.
/// Series "curve", a row per evaluation: iteration, environment_steps, episode_return, evaluation, best.
Run walker_run(const std::string& name, const walker::Plan& plan);

/// The return of an episode that ends with a fall at once: what a training that was never evaluated counts as.
inline constexpr double fall = -100;

/// Medians over trainings, with bootstrap_median()'s intervals, of the best return so far at every evaluation.
/// Trainings that diverged keep their last, and are a fall where that was before the first.
struct BestSoFar {
  double iteration = 0, median = 0, low = 0, high = 0;
};
std::vector<BestSoFar> best_so_far(const Context& context, const std::vector<Run>& runs);
/// The same as rows for a CSV file: the labels, then iteration, median, low, high.
std::vector<apps::Record> records_of(const std::vector<BestSoFar>& curve, const apps::Record& labels);
/// gnuplot's commands for a CSV file of such rows whose first column is a label: lines with bands.
std::string curve_commands(const std::string& file, const std::vector<std::string>& labels);

}  // namespace gradus::reproduce
