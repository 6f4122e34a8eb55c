// An experiment of the paper: the trainings that it needs, and a reader that sets their results beside the published
// ones. To add one, write NAME.cpp with these two functions and list it in experiments.cpp; training, resuming, files
// and plots are the frame's.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "apps/reproduce/context.h"
#include "apps/reproduce/report.h"

namespace gradus::reproduce {

struct Experiment {
  const char* name;   ///< "figure_1"
  const char* title;  ///< one line for --list and headings
  Images images = Images::none;
  /// The trainings that are known so far: called again when they are finished, as some depend on the results of others.
  /// Null where the reader does all the work, in seconds to minutes.
  std::vector<Run> (*runs)(const Context&) = nullptr;
  void (*read)(const Context&, Report&) = nullptr;
  const char* missing = nullptr;  ///< what this version lacks to run it; null where nothing
};

std::span<const Experiment> experiments();

void read_figure_1(const Context&, Report&);
std::vector<Run> runs_table_cifar10(const Context&);
void read_table_cifar10(const Context&, Report&);
std::vector<Run> runs_table_imagenet(const Context&);
void read_table_imagenet(const Context&, Report&);
std::vector<Run> runs_figure_3a(const Context&);
void read_figure_3a(const Context&, Report&);
std::vector<Run> runs_figure_3b(const Context&);
void read_figure_3b(const Context&, Report&);
std::vector<Run> runs_figure_4a(const Context&);
void read_figure_4a(const Context&, Report&);
std::vector<Run> runs_figure_4b(const Context&);
void read_figure_4b(const Context&, Report&);
std::vector<Run> runs_walker_adam(const Context&);
void read_walker_adam(const Context&, Report&);
std::vector<Run> runs_hesscale_walker(const Context&);
void read_hesscale_walker(const Context&, Report&);
/// What this build lacks for the walker's experiments; null where nothing.
const char* walker_missing();
std::vector<Run> runs_figure_5(const Context&);
void read_figure_5(const Context&, Report&);
std::vector<Run> runs_figure_a1(const Context&);
void read_figure_a1(const Context&, Report&);
std::vector<Run> runs_figure_a2(const Context&);
void read_figure_a2(const Context&, Report&);
std::vector<Run> runs_hesscale_quality(const Context&);
void read_hesscale_quality(const Context&, Report&);
void read_hesscale_cost(const Context&, Report&);
std::vector<Run> runs_hesscale_training(const Context&);
void read_hesscale_training(const Context&, Report&);
void read_theorem_1(const Context&, Report&);
void read_theorem_2(const Context&, Report&);
std::vector<Run> runs_regularization(const Context&);
void read_regularization(const Context&, Report&);
std::vector<Run> runs_conditioning(const Context&);
void read_conditioning(const Context&, Report&);

}  // namespace gradus::reproduce
