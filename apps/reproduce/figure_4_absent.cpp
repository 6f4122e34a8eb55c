// Stands in for the walker's experiments in builds without Box2D or giflib.
#include "apps/reproduce/experiment.h"

namespace gradus::reproduce {

const char* walker_missing() {
  return "needs the walker: install libbox2d-dev and libgif-dev, then configure with -Drl=enabled";
}
std::vector<Run> runs_figure_4a(const Context&) { return {}; }
void read_figure_4a(const Context&, Report&) {}
std::vector<Run> runs_figure_4b(const Context&) { return {}; }
void read_figure_4b(const Context&, Report&) {}
std::vector<Run> runs_walker_adam(const Context&) { return {}; }
void read_walker_adam(const Context&, Report&) {}
std::vector<Run> runs_hesscale_walker(const Context&) { return {}; }
void read_hesscale_walker(const Context&, Report&) {}

}  // namespace gradus::reproduce
