// The list of experiments.
#include "apps/reproduce/experiment.h"

namespace gradus::reproduce {

std::span<const Experiment* const> experiments() {
  static constexpr const Experiment* all[] = {
      &figure_1::experiment,          &table_cifar10::experiment,    &baseline_cifar10::experiment,
      &table_imagenet::experiment,    &figure_3::experiment_a,       &figure_3::experiment_b,
      &figure_4::experiment_a,        &figure_4::experiment_b,       &walker_adam::experiment,
      &figure_5::experiment,          &figure_5::on_direction,       &figure_a1::experiment,
      &figure_a2::experiment,         &hesscale_quality::experiment, &hesscale_cost::experiment,
      &hesscale_training::experiment, &hesscale_walker::experiment,  &theorem_1::experiment,
      &theorem_2::experiment,         &regularization::experiment,   &conditioning::experiment,
  };
  return all;
}

}  // namespace gradus::reproduce
