// The list of experiments.
#include "apps/reproduce/experiment.h"

namespace gradus::reproduce {

std::span<const Experiment> experiments() {
  static constexpr Experiment all[] = {
      {"figure_1", "iterations of SGD, FOP and Adam on Booth's and Himmelblau's functions", figure_1},
  };
  return all;
}

}  // namespace gradus::reproduce
