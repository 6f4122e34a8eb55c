// Runs experiments of the FOP paper (Moskovitz et al. 2019) and shows the published values beside the measured ones.
#include <algorithm>
#include <filesystem>

#include "apps/common/command_line.h"
#include "apps/common/device_flags.h"
#include "apps/common/interrupt.h"
#include "apps/common/run_directory.h"
#include "apps/reproduce/campaign.h"
#include "apps/reproduce/inspect.h"
#include "autograd/autocast.h"
#include "core/error.h"
#include "core/file.h"
#include "core/joined.h"
#include "core/json.h"

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
      spectra, angles, norms and heat maps of what a training of cifar10_train --out runs/fop has learned

The exit code says whether the work was done, and nothing of its verdicts: 0 where a table says that something is not
reproduced, too.)";

std::string line_of(const Experiment& experiment) {
  constexpr size_t column = 19;  // the longest name and two blanks
  std::string line = experiment.name;
  line.resize(std::max(line.size() + 1, column), ' ');
  return line + experiment.title + (experiment.missing ? std::string(" (") + experiment.missing + ")" : "");
}

Scale parse_scale(const std::string& text) {
  for (const Scale scale : {Scale::smoke, Scale::cpu})
    if (text == name(scale)) return scale;
  return Scale::paper;
}

/// What the command line names, each once.
struct Choice {
  const Experiment* experiment;
  bool by_name;  ///< not by `all` alone
};

/// `mixed`: in mixed precision, which some experiments are not for.
std::vector<Choice> choose(const std::vector<std::string>& names, bool mixed) {
  std::vector<Choice> chosen;
  for (const std::string& name : names) {
    bool found = false;
    std::string known;
    for (const Experiment* experiment : experiments()) {
      known += std::string(", ") + experiment->name;
      const bool by_name = name == experiment->name, can_run = !(mixed && experiment->full_precision_only);
      if (!by_name && !(name == "all" && !experiment->missing && can_run)) continue;
      found = true;
      const auto before = std::find_if(chosen.begin(), chosen.end(),
                                       [&](const Choice& choice) { return choice.experiment == experiment; });
      if (before == chosen.end())
        chosen.push_back({experiment, by_name});
      else
        before->by_name |= by_name;
    }
    if (!found) throw apps::UsageError("no experiment is called '" + name + "'; there are: all" + known);
  }
  std::vector<const char*> refused;
  for (const auto& [experiment, by_name] : chosen)
    if (mixed && experiment->full_precision_only) refused.push_back(experiment->name);
  if (!refused.empty())
    throw apps::UsageError("without mixed precision only: " + joined(refused) + "; leave out --amp bf16");
  return chosen;
}

/// Those that can be run: what an experiment that was named lacks is an error; of `all`, one without its images is left
/// out and named in `left_out`.
std::vector<const Experiment*> runnable(const Request& request, const std::vector<Choice>& chosen,
                                        std::vector<const char*>& left_out) {
  std::vector<const Experiment*> result;
  for (const auto& [experiment, by_name] : chosen) {
    if (experiment->missing) fail(ErrorKind::value, experiment->name, experiment->missing);
    const std::string why = missing_images(experiment->images, request.data, request.scale == Scale::smoke);
    if (!why.empty() && by_name) throw Error(ErrorKind::io, why);
    if (why.empty()) {
      result.push_back(experiment);
    } else {
      apps::note(std::string("leaves out ") + experiment->name + ": " + why);
      left_out.push_back(experiment->name);
    }
  }
  return result;
}

/// A smaller scale would replace what a larger one has left in OUT/EXPERIMENT.
void keep_larger_results(const Request& request, const std::vector<const Experiment*>& chosen) {
  for (const Experiment* experiment : chosen) {
    if (experiment->same_at_every_scale) continue;
    const std::string folder = request.out + "/" + experiment->name, manifest = folder + "/manifest.json";
    if (!std::filesystem::exists(manifest)) continue;
    const Json before = Json::parse_or_null(read_file(manifest));
    const Json* const scale = before.is_object() ? before.find("scale") : nullptr;
    if (!scale || !scale->is_string() || parse_scale(scale->string()) <= request.scale) continue;
    throw apps::UsageError(text(folder, " holds results of ", scale->string(), " scale, which --scale ",
                                name(request.scale), " would replace: name another folder with --out"));
  }
}

int reproduce_all(const Request& request, const std::vector<const Experiment*>& chosen) {
  keep_larger_results(request, chosen);
  const apps::RunDirectory out(request.out);  // before the work, so that a mistyped path costs none
  const Ledger ledger(request.out);
  const apps::DeferInterrupts deferred;
  const apps::Stopwatch since;
  const bool worked = request.jobs > 1 && run_in_processes(request, ledger, chosen, since);
  const Context context(request, ledger);
  Campaign campaign(context, since, worked);
  for (const Experiment* experiment : chosen) {
    const auto stopped = [&](const char* why, int code) {
      apps::note(text(why, " in ", experiment->name, "; the same command ",
                      experiment->runs ? "goes on from here" : "begins it again"));
      return code;
    };
    const Campaign::End end = campaign.run_all(*experiment);
    if (end == Campaign::End::interrupted) return stopped("interrupted", apps::exit_interrupted);
    if (end == Campaign::End::out_of_time) return stopped("the budget is used up", 0);
    Report report(context, *experiment);
    experiment->read(context, report);
    if (apps::interrupted()) return stopped("interrupted", apps::exit_interrupted);
    report.finish(experiment->runs ? experiment->runs(context) : std::vector<Run>());
    write_index(request.out);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  apps::CommandLine line("Runs experiments of the paper First-Order Preconditioning via Hypergradient Descent.",
                         examples, "reproduce");
  std::vector<std::string> names;
  bool list = false;
  Request request;
  std::string scale = name(request.scale), amp = "none";
  line.add("EXPERIMENT", names,
           "which experiments, one after another; all: every one that can be run, as far as its images are found");
  line.add("--list", list, "name the experiments that there are, or those that are named, and run none");
  line.add("--scale", scale,
           "smoke: seconds, to see that it works; cpu: under 45 minutes each on two cores; paper: the protocol of\n"
           "the paper",
           apps::one_of({name(Scale::smoke), name(Scale::cpu), name(Scale::paper)}));
  line.add(
      "--data", request.data,
      "where data sets lie: one, or a folder of them; may be given several times. At smoke scale a missing one is\n"
      "replaced by synthetic images",
      apps::one_each());
  line.add("--seeds", request.seeds, "how many; 0: what the scale says", apps::between(0, 10000));
  line.add("--jobs", request.jobs, "processes that share the trainings and the cores", apps::between(1, 1024));
  line.add("--budget", request.budget, "stop after so many minutes; the same command then goes on; 0: no limit",
           apps::at_least(0));
  line.add("--out", request.out, "folder for the results: files go to OUT/EXPERIMENT/");
  line.add("--amp", amp, "mixed precision. bf16: activations and products in bfloat16, parameters in float32",
           apps::one_of({"none", "bf16"}));
  line.add("--json", request.json, "one JSON object per line on standard output instead of tables");
  apps::DeviceFlags device;
  device.add_to(line);
  InspectRequest to_inspect;
  apps::CommandLine& inspecting =
      line.add_command("inspect", "show what the preconditioners of a saved training have learned");
  inspecting.add_required("PATH", to_inspect.path, "a run's folder, or a checkpoint in one");
  inspecting.add("--out", to_inspect.out, "folder for CSV files and plots; none are written without it");
  inspecting.add("--json", to_inspect.json, "one JSON object per layer instead of a table");
  return apps::run(line, argc, argv, [&] {
    if (inspecting.chosen()) {
      if (!names.empty()) throw apps::UsageError("inspect runs no experiment: leave out " + names.front());
      for (const apps::CommandLine::Flag& flag : line.flags())
        if (flag.given) throw apps::UsageError("--" + flag.name + " has no effect before inspect: place it behind");
      return inspect(to_inspect);
    }
    if (list) {
      for (const Choice& choice : choose(names, false)) apps::print_line(line_of(*choice.experiment));
      if (names.empty())
        for (const Experiment* experiment : experiments()) apps::print_line(line_of(*experiment));
      return 0;
    }
    if (names.empty()) throw apps::UsageError("name an experiment, or --list them");
    const std::vector<Choice> chosen = choose(names, amp == "bf16");
    for (const std::string& remark : device.without_effect(line)) apps::note(remark);
    device.apply();
    request.scale = parse_scale(scale);
    const Autocast precision(parse_amp(amp));
    std::vector<const char*> left_out;
    const int code = reproduce_all(request, runnable(request, chosen, left_out));
    if (!left_out.empty()) apps::note("left out, as there are no images for them: " + joined(left_out));
    return code;
  });
}
