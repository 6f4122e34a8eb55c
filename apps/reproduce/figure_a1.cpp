// Figure A.1 of the paper: the angle between the gradient and the preconditioned gradient in each layer of a perceptron
// on MNIST, over the training, with bands from the lowest to the highest of five seeds.
#include <cmath>

#include "apps/reproduce/experiment.h"
#include "apps/reproduce/gnuplot.h"
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

/// M starts as noise of standard deviation gain / sqrt(inputs).
struct Start {
  double gain;
  const char* source;
};
const Start starts[] = {{mnist_gain, "derived"}, {3, "public Swift code"}};

std::vector<Run> runs_from(const Context& context, const Start& start) {
  std::vector<Run> runs;
  for (uint64_t seed : context.seeds(2, 5, 5)) {
    Run run = mnist_run(size(context), "fop", 0, seed);
    run.dense_gain = start.gain;
    if (start.gain != mnist_gain) run.name += ", M from " + fixed(start.gain, 1) + " / sqrt(inputs)";
    runs.push_back(run);
  }
  return runs;
}

std::vector<Run> runs(const Context& context) {
  std::vector<Run> runs;
  for (const Start& start : starts)
    for (Run& run : runs_from(context, start)) runs.push_back(std::move(run));
  return runs;
}

struct Reading {
  std::vector<double> angles;    ///< mean over the training, of every seed
  size_t places = 0, found = 0;  ///< measurements, and those of them that are numbers
};

Reading angles_of(const Context& context, const std::vector<Run>& trainings, const char* layer) {
  Reading reading;
  for (const Run& run : trainings) {
    std::vector<double> angles;
    for (const apps::Record& row : band(context, {run}, "angle", layer, {}))
      angles.push_back(std::get<double>(row.fields().at(1).second));
    if (const auto& series = context.at(run).series; series.contains("angle"))
      reading.places += series.at("angle").rows.size();
    reading.found += angles.size();
    reading.angles.push_back(angles.empty() ? std::nan("") : mean(angles));
  }
  return reading;
}

std::string verdict(const Layer& layer, double measured) {
  if (std::isnan(layer.published)) return "";
  if (std::isnan(measured)) return "no angle: a gradient was always zero";
  const double distance = std::abs(measured - layer.published);
  return distance <= 1.5 ? "within 1.5 degrees" : distance <= 5 ? "off by more than 1.5 degrees" : "not reproduced";
}

void read(const Context& context, Report& report) {
  report.protocol(size(context).text() + ", " + std::to_string(runs_from(context, starts[0]).size()) + " seeds");
  Table table{{"M starts from", "layer", "paper", "measured", "n", "difference", "verdict"}, {}};
  std::vector<apps::Record> means, curves;
  size_t places = 0, angles_found = 0;
  for (const Start& start : starts) {
    const std::vector<Run> trainings = runs_from(context, start);
    for (const Layer& layer : layers) {
      const Reading reading = angles_of(context, trainings, layer.name);
      places += reading.places;
      angles_found += reading.found;
      for (size_t i = 0; i < trainings.size(); ++i)
        means.push_back({{"gain", start.gain},
                         {"layer", std::string(layer.name)},
                         {"seed", static_cast<int64_t>(trainings[i].flags.seed)},
                         {"mean_angle", reading.angles[i]}});
      const double measured = mean(reading.angles);
      table.rows.push_back({gradus::text(fixed(start.gain, 1), " / sqrt(inputs): ", start.source), layer.name,
                            std::isnan(layer.published) ? "(not legible)" : fixed(layer.published, 2),
                            plus_minus(measured, standard_deviation(reading.angles), 2),
                            std::to_string(trainings.size()), fixed(measured - layer.published, 2),
                            verdict(layer, measured)});
      for (const apps::Record& row :
           band(context, trainings, "angle", layer.name, {{"layer", std::string(layer.name)}, {"gain", start.gain}}))
        curves.push_back(row);
    }
  }
  std::string remarks;
  for (const Run& run : runs(context))
    if (!context.at(run).diverged.empty()) remarks += " Diverged: " + run.name + ".";
  if (angles_found < places)
    remarks += gradus::text(" A gradient of zero has no angle: ", places - angles_found, " of ", places,
                            " values are missing, of trainings whose units died or whose images are all learned.");
  report.table(table);
  report.note(
      "Angle between g and P g in degrees: mean over the training, then mean and standard deviation over seeds. The "
      "paper only calls the start of M small. 3.5 / sqrt(inputs) is derived from the published angles: for a gradient "
      "without direction it gives 42.75 degrees, and 3 / sqrt(inputs) gives 41.99. Over the training angles grow in "
      "the narrow layers: what P amplifies is learned first, and what is left of g is turned further. " +
      size(context).recipe() + remarks);
  report.csv("means", means);
  report.csv("angles", curves);
  std::vector<std::string> names;
  for (const Layer& layer : layers) names.emplace_back(layer.name);
  const std::string commands =
      "set xlabel 'iteration'\nset ylabel 'angle of g and P g, degrees'\nset key bottom right\n" +
      lines_with_bands("angles", names, {.x = 3, .condition = gradus::text("column(2) == ", mnist_gain)});
  report.plot("angles",
              "Angle between g and P g per layer, M from " + fixed(mnist_gain, 1) +
                  " / sqrt(inputs): mean, lowest and highest of all seeds",
              commands);
}

}  // namespace

constexpr Experiment experiment{.name = "figure_a1",
                                .title = "Figure A.1: angle between gradient and preconditioned gradient",
                                .images = Images::mnist,
                                .runs = runs,
                                .read = read};

}  // namespace gradus::reproduce::figure_a1
