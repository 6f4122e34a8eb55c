// Runs experiments of the FOP paper (Moskovitz et al. 2019) and shows the published values beside the measured ones.
#include <algorithm>
#include <filesystem>
#include <map>

#include "apps/common/command_line.h"
#include "apps/common/device_flags.h"
#include "apps/common/interrupt.h"
#include "apps/common/run_directory.h"
#include "apps/reproduce/campaign.h"
#include "apps/reproduce/inspect.h"
#include "autograd/autocast.h"
#include "core/error.h"

using namespace gradus;
using namespace gradus::reproduce;

namespace {

constexpr const char* examples = R"(Examples:
  reproduce --list
      what there is
  reproduce figure_1 theorem_2
      what needs no data: files under results/, tables on the terminal
  reproduce figure_a1 --scale paper --data mnist --out results
      the paper's protocol; stopped at any moment, the same command goes on where it was
  reproduce all --scale smoke
      everything within three minutes, to see that it works
  reproduce inspect runs/fop --out runs/fop/learned
      spectra, angles, norms and heat maps of what a training of cifar10_train --out runs/fop has learned)";

std::string line_of(const Experiment& experiment) {
  constexpr size_t column = 19;  // the longest name and two blanks
  std::string line = experiment.name;
  line.resize(std::max(line.size() + 1, column), ' ');
  return line + experiment.title + (experiment.missing ? std::string(" (") + experiment.missing + ")" : "");
}

std::vector<const Experiment*> choose(const std::vector<std::string>& names) {
  std::vector<const Experiment*> chosen;
  for (const std::string& name : names) {
    const size_t before = chosen.size();
    std::string known;
    for (const Experiment& experiment : experiments()) {
      if (name == experiment.name || (name == "all" && !experiment.missing)) chosen.push_back(&experiment);
      known += std::string(", ") + experiment.name;
    }
    if (chosen.size() == before)
      throw apps::UsageError("no experiment is called '" + name + "'; there are: all" + known);
  }
  return chosen;
}

int reproduce_all(const Request& request, const std::vector<const Experiment*>& chosen) {
  for (const Experiment* experiment : chosen)
    if (experiment->missing) fail(ErrorKind::value, experiment->name, experiment->missing);
  const apps::RunDirectory out(request.out);  // before the work, so that a mistyped path costs none
  const Ledger ledger(request.out);
  const apps::DeferInterrupts deferred;
  if (request.jobs > 1) run_in_processes(request, ledger, chosen);
  const Context context(request, ledger);
  Campaign campaign(context);
  for (const Experiment* experiment : chosen) {
    const Campaign::End end = campaign.run_all(*experiment);
    if (end != Campaign::End::finished) {
      apps::note(std::string(end == Campaign::End::interrupted ? "interrupted" : "the budget is used up") + " in " +
                 experiment->name + "; the same command goes on from here");
      return end == Campaign::End::interrupted ? apps::exit_interrupted : 0;
    }
    Report report(context, experiment->name, experiment->title, experiment->images);
    experiment->read(context, report);
    report.finish(experiment->runs ? experiment->runs(context) : std::vector<Run>());
    write_index(request.out);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs experiments of the paper First-Order Preconditioning via Hypergradient Descent.");
  app.footer(examples);
  std::vector<std::string> names;
  bool list = false;
  Request request;
  const std::map<std::string, Scale> scales{{"smoke", Scale::smoke}, {"cpu", Scale::cpu}, {"paper", Scale::paper}};
  app.add_option("EXPERIMENT", names, "which experiments, one after another; all: every one that can be run");
  app.add_flag("--list", list, "name the experiments that there are");
  app.add_option(
         "--scale", request.scale,
         "smoke: seconds, to see that it works; cpu: under 45 minutes each on two cores; paper: the protocol of\n"
         "the paper [cpu]")
      ->transform(CLI::Transformer(scales))
      ->option_text("{smoke,cpu,paper}");
  app.add_option("--data", request.data,
                 "where data sets lie: one, or a folder of them. At smoke scale a missing one is replaced by synthetic "
                 "images");
  app.add_option("--seeds", request.seeds, "how many, instead of what the scale says")->check(apps::at_least(1));
  app.add_option("--jobs", request.jobs, "processes that share the trainings and the cores")->check(apps::at_least(1));
  app.add_option("--budget", request.budget, "stop after so many minutes; the same command then goes on")
      ->check(apps::above(0));
  app.add_option("--out", request.out, "folder for the results: files go to OUT/EXPERIMENT/")->capture_default_str();
  apps::DeviceFlags device;
  device.add_to(app);
  std::string amp = "none";
  app.add_option("--amp", amp, "mixed precision. bf16: activations and products in bfloat16, parameters in float32")
      ->check(CLI::IsMember({"none", "bf16"}))
      ->capture_default_str();
  app.add_flag("--json", request.json, "one JSON object per line on standard output instead of tables");
  InspectRequest to_inspect;
  CLI::App* inspecting =
      app.add_subcommand("inspect", "show what the preconditioners of a saved training have learned");
  inspecting->add_option("PATH", to_inspect.path, "a run's folder, or a checkpoint in one")->required();
  inspecting->add_option("--out", to_inspect.out, "folder for CSV files and plots; none are written without it");
  inspecting->add_flag("--json", to_inspect.json, "one JSON object per layer instead of a table");
  return apps::run(app, argc, argv, [&] {
    if (inspecting->parsed()) return inspect(to_inspect);
    if (list)
      for (const Experiment& experiment : experiments()) apps::print_line(line_of(experiment));
    else if (names.empty())
      throw apps::UsageError("name an experiment, or --list them");
    const std::vector<const Experiment*> chosen = choose(names);
    for (const std::string& line : device.without_effect(app)) apps::note(line);
    device.apply();
    const Autocast precision(parse_amp(amp));
    return chosen.empty() ? 0 : reproduce_all(request, chosen);
  });
}
