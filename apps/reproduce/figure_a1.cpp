// Figure A.1 of the paper: the angle between the gradient and the preconditioned gradient in each layer of a perceptron
// on MNIST, over the training, with bands from the lowest to the highest of five seeds.
#include <cmath>

#include "apps/reproduce/experiment.h"
#include "apps/reproduce/protocols.h"
#include "apps/reproduce/statistics.h"
#include "core/error.h"

namespace gradus::reproduce::figure_a1 {
namespace {

struct Layer {
  const char* name;
  double published;  ///< mean over the training and the seeds; not a number where the paper's text is lost
};
const Layer layers[] = {{"fc1", std::nan("")}, {"fc2", 43.16}, {"fc3", std::nan("")}, {"fc4", 42.48}};

MnistSize size(const Context& context) {
  return context.by_scale<MnistSize>({.train = 600, .test = 200, .steps = 10}, {.steps = 2500}, {});
}

std::vector<Run> runs(const Context& context) {
  std::vector<Run> runs;
  for (uint64_t seed : context.seeds(2, 5, 5)) runs.push_back(mnist_run(size(context), "fop", 0, seed));
  return runs;
}

void read(const Context& context, Report& report) {
  const std::vector<Run> trainings = runs(context);
  report.protocol(size(context).text() + ", " + std::to_string(trainings.size()) + " seeds");
  Table table{{"layer", "paper", "measured", "n", "difference", "verdict"}, {}};
  std::vector<apps::Record> means, curves;
  std::string remarks;
  size_t places = 0, angles_found = 0;
  for (const Layer& layer : layers) {
    std::vector<double> per_seed;
    for (const Run& run : trainings) {
      std::vector<double> angles;
      for (const apps::Record& row : band(context, {run}, "angle", layer.name, {}))
        angles.push_back(std::get<double>(row.fields().at(1).second));
      if (const auto& series = context.at(run).series; series.contains("angle"))
        places += series.at("angle").rows.size();
      angles_found += angles.size();
      per_seed.push_back(angles.empty() ? std::nan("") : mean(angles));
      means.push_back({{"layer", std::string(layer.name)},
                       {"seed", static_cast<int64_t>(run.flags.seed)},
                       {"mean_angle", per_seed.back()}});
    }
    const double measured = mean(per_seed), deviation = standard_deviation(per_seed),
                 difference = measured - layer.published;
    const bool known = !std::isnan(layer.published);
    table.rows.push_back({layer.name, known ? fixed(layer.published, 2) : "(not legible)",
                          plus_minus(measured, deviation, 2), std::to_string(per_seed.size()), fixed(difference, 2),
                          !known                        ? ""
                          : std::isnan(measured)        ? "no angle: a gradient was always zero"
                          : std::abs(difference) <= 1.5 ? "within 1.5 degrees"
                          : std::abs(difference) <= 5   ? "off by more than 1.5 degrees"
                                                        : "not reproduced"});
    for (const apps::Record& row : band(context, trainings, "angle", layer.name, {{"layer", std::string(layer.name)}}))
      curves.push_back(row);
  }
  for (const Run& run : trainings)
    if (!context.at(run).diverged.empty()) remarks += " Diverged: " + run.name + ".";
  if (angles_found < places)
    remarks += gradus::text(" A gradient of zero has no angle: ", places - angles_found, " of ", places,
                            " values are missing, of trainings whose units died or whose images are all learned.");
  report.table(table);
  report.note(
      "Angle between g and P g in degrees: mean over the training, then mean and standard deviation over seeds. The "
      "start of M is 3.5 / sqrt(inputs), derived from the published angles: the paper only calls it small." +
      remarks);
  report.csv("means", means);
  report.csv("angles", curves);
  std::string commands =
      "set xlabel 'iteration'\nset ylabel 'angle of g and P g, degrees'\nset key bottom right\n"
      "of(l, c) = strcol(1) eq l ? column(c) : NaN\nset style fill transparent solid 0.2 noborder\nplot ";
  for (size_t i = 0; i < std::size(layers); ++i) {
    const std::string of = "(of('" + std::string(layers[i].name) + "', ", color = " lc " + std::to_string(i + 1);
    commands += "'angles.csv' using 2:" + of + "4)):" + of + "5)) every ::1 with filledcurves" + color +
                " notitle, '' using 2:" + of + "3)) every ::1 with lines lw 2" + color + " title '" + layers[i].name +
                "'" + (i + 1 < std::size(layers) ? ", " : "\n");
  }
  report.plot("angles", "Angle between g and P g per layer: mean, lowest and highest of all seeds", commands);
}

}  // namespace

constexpr Experiment experiment{.name = "figure_a1",
                                .title = "Figure A.1: angle between gradient and preconditioned gradient",
                                .images = Images::mnist,
                                .runs = runs,
                                .read = read};

}  // namespace gradus::reproduce::figure_a1
