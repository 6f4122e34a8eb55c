// The table that both halves of Figure 2 have: accuracy, additional parameters and additional time of several methods,
// beside the published values, and their curves.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "apps/reproduce/context.h"
#include "apps/reproduce/report.h"

namespace gradus::reproduce {

struct Method {
  const char* name;
  const char* preconditioner;
  double accuracy, deviation;  ///< published, %
  const char* parameters;      ///< published
  double time;                 ///< published, % more
};

struct Comparison {
  std::span<const Method> methods;                         ///< momentum, S-HD, PP-HD, FOP-norm, FOP
  std::function<std::vector<Run>(const Method&)> runs_of;  ///< finished ones, the same seeds for each method
  double published_gap = 0;                                ///< FOP minus momentum, points
  bool has_control = false;                                ///< a row of ours is meant to be there
  std::vector<Run> control = {};      ///< momentum with FOP's step; empty where no FOP run has a gain
  int64_t without_gain = 0;           ///< FOP runs that did not diverge and have no finite gain
  std::vector<Run> on_momentum = {};  ///< a row of ours, FOP with P on the momentum; empty: there is none
  std::string recipe = {};            ///< for the note: what decides where the paper is silent
};

/// All methods' runs of one seed after another, so that a budget leaves whole rounds of them.
void order_by_seed(std::vector<Run>& runs);

/// Whether one method is ahead of another by measured means wherever it is so by published ones; published ties may
/// come out either way.
bool keeps_order(std::span<const Method> methods, const std::vector<double>& means);

void report_comparison(const Context& context, const Comparison& comparison, Report& report);

}  // namespace gradus::reproduce
