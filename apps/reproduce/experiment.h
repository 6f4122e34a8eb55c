// An experiment of the paper: the trainings that it needs, and a reader that sets their results beside the published
// ones. To add one, write NAME.cpp, whose namespace NAME defines `experiment` and keeps the rest unnamed, as
// experiments are compiled together; declare it below and list it in experiments.cpp and meson.build. Training,
// resuming, files and plots are the frame's.
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
  /// Where it takes longer than a second, it ends when interrupted(): its report is then left.
  void (*read)(const Context&, Report&) = nullptr;
  const char* missing = nullptr;  ///< what this version lacks to run it; null where nothing
  /// Mixed precision would make it another experiment, or none: what it shows is float32's or float64's, or what it is
  /// compared with is.
  bool full_precision_only = false;
  bool same_at_every_scale = false;  ///< else titles say which one it was
};

/// In the order in which --list and `all` take them.
std::span<const Experiment* const> experiments();

// Defined as constexpr, so that no order of initialization matters.
// clang-format off
namespace figure_1 { extern const Experiment experiment; }
namespace baseline_cifar10 { extern const Experiment experiment; }
namespace table_cifar10 { extern const Experiment experiment; }
namespace table_imagenet { extern const Experiment experiment; }
namespace figure_3 { extern const Experiment experiment_a, experiment_b; }
namespace figure_4 { extern const Experiment experiment_a, experiment_b; }
namespace walker_adam { extern const Experiment experiment; }
namespace figure_5 { extern const Experiment experiment, on_direction; }
namespace figure_a1 { extern const Experiment experiment; }
namespace figure_a2 { extern const Experiment experiment; }
namespace hesscale_quality { extern const Experiment experiment; }
namespace hesscale_cost { extern const Experiment experiment; }
namespace hesscale_training { extern const Experiment experiment; }
namespace hesscale_walker { extern const Experiment experiment; }
namespace theorem_1 { extern const Experiment experiment; }
namespace theorem_2 { extern const Experiment experiment; }
namespace regularization { extern const Experiment experiment; }
namespace conditioning { extern const Experiment experiment; }
// clang-format on

}  // namespace gradus::reproduce
