// Runs experiments of the FOP paper (Moskovitz et al. 2019) and shows the published values beside the measured ones.
#include "apps/common/command_line.h"
#include "apps/reproduce/experiment.h"

using namespace gradus;
using namespace gradus::reproduce;

namespace {

constexpr const char* examples = R"(Examples:
  reproduce --list
      what there is
  reproduce figure_1
      a table of the paper's iteration counts and ours
  reproduce figure_1 --json --out results
      the same as JSON for another program, and as files under results/figure_1)";

const Experiment& find(const std::string& name) {
  std::string known;
  for (const Experiment& experiment : experiments()) {
    if (name == experiment.name) return experiment;
    known += (known.empty() ? "" : ", ") + std::string(experiment.name);
  }
  throw apps::UsageError("no experiment is called '" + name + "'; there are: " + known);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs experiments of the paper First-Order Preconditioning via Hypergradient Descent.");
  app.footer(examples);
  std::vector<std::string> names;
  bool list = false;
  Request request;
  app.add_option("EXPERIMENT", names, "which experiments, one after another");
  app.add_flag("--list", list, "name the experiments that there are");
  app.add_flag("--json", request.json, "one JSON object per line on standard output instead of a table");
  app.add_option("--out", request.out, "folder for the results: files go to OUT/EXPERIMENT/");
  return apps::run(app, argc, argv, [&] {
    if (list)
      for (const Experiment& experiment : experiments())
        apps::print_line(std::string(experiment.name) + "  " + experiment.title);
    else if (names.empty())
      throw apps::UsageError("name an experiment, or --list them");
    std::vector<const Experiment*> chosen;  // all names are checked before anything runs
    for (const std::string& name : names) chosen.push_back(&find(name));
    for (const Experiment* experiment : chosen) experiment->run(request);
    return 0;
  });
}
