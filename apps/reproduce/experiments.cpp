// The list of experiments.
#include "apps/reproduce/experiment.h"

namespace gradus::reproduce {

std::span<const Experiment> experiments() {
  static constexpr Experiment all[] = {
      {.name = "figure_1",
       .title = "Figure 1: iterations on Booth's and Himmelblau's functions",
       .read = read_figure_1},
      {.name = "table_cifar10",
       .title = "Figure 2, top: All-CNN-C on CIFAR-10, five methods",
       .images = Images::cifar10,
       .runs = runs_table_cifar10,
       .read = read_table_cifar10},
      {.name = "table_imagenet",
       .title = "Figure 2, bottom: ResNet-18 on ImageNet, five methods",
       .missing = "needs ResNet-18, which this version does not have"},
      {.name = "figure_3a",
       .title = "Figure 3a: learning rate and momentum, with FOP and without",
       .images = Images::cifar10,
       .runs = runs_figure_3a,
       .read = read_figure_3a},
      {.name = "figure_3b",
       .title = "Figure 3b: Adam's learning rate, with FOP and without",
       .images = Images::cifar10,
       .runs = runs_figure_3b,
       .read = read_figure_3b},
      {.name = "figure_5",
       .title = "Figure 5: the matrices that FOP learns",
       .images = Images::cifar10,
       .runs = runs_figure_5,
       .read = read_figure_5},
      {.name = "figure_a1",
       .title = "Figure A.1: angle between gradient and preconditioned gradient",
       .images = Images::mnist,
       .runs = runs_figure_a1,
       .read = read_figure_a1},
      {.name = "figure_a2",
       .title = "Figure A.2: rank of P on MNIST",
       .images = Images::mnist,
       .runs = runs_figure_a2,
       .read = read_figure_a2},
      {.name = "theorem_1", .title = "Theorem 1: rescaled FOP on convex problems", .read = read_theorem_1},
      {.name = "theorem_2",
       .title = "Theorem 2: rates of preconditioned descent on PL problems",
       .read = read_theorem_2},
  };
  return all;
}

}  // namespace gradus::reproduce
