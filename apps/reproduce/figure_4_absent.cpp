// Stands in for the walker's experiments in builds without Box2D or giflib: they are listed as missing.
#include "apps/reproduce/experiment.h"

namespace gradus::reproduce {
namespace {

constexpr const char* no_walker =
    "needs the walker: install libbox2d-dev and libgif-dev, then configure with -Drl=enabled";

}  // namespace

constexpr Experiment figure_4::experiment_a{.name = "figure_4a",
                                            .title = "Figure 4a: the bipedal walker on rough ground, three optimizers",
                                            .missing = no_walker};
constexpr Experiment figure_4::experiment_b{
    .name = "figure_4b",
    .title = "Figure 4b: the bipedal walker among pits and stumps, three optimizers",
    .missing = no_walker};
constexpr Experiment walker_adam::experiment{.name = "walker_adam",
                                             .title = "PPO with Adam on BipedalWalker-v3, beside a published score",
                                             .missing = no_walker};
constexpr Experiment hesscale_walker::experiment{
    .name = "hesscale_walker",
    .title = "HesScale: PPO's collapses over Adam's learning rate, with scaled steps and without",
    .missing = no_walker};

}  // namespace gradus::reproduce
