// Figure 3 of the paper: how final accuracy on CIFAR-10 depends on the hyperparameters of the rule, with FOP and
// without: (a) learning rate and momentum, (b) Adam's learning rate. Hypergradients by Adam with 5e-4.
#include <algorithm>
#include <cmath>

#include "apps/reproduce/experiment.h"
#include "apps/reproduce/protocols.h"
#include "apps/reproduce/statistics.h"
#include "core/error.h"

namespace gradus::reproduce::figure_3 {
namespace {

CifarSize size(const Context& context, int64_t images) {
  return context.by_scale<CifarSize>(
      {.train = 32, .test = 20, .epochs = 2, .batch = 16, .drop_after = 1, .dropout = false},
      {.train = images, .test = 500, .epochs = 6, .batch = 32, .drop_after = 4, .dropout = false}, {});
}

/// One place of a grid, with and without FOP.
struct Cell {
  double lr, momentum;
  std::vector<Run> plain, fop;
};

Cell make_cell(const Context& context, const CifarSize& size, const char* rule, double lr, double momentum) {
  Cell cell{lr, momentum, {}, {}};
  for (uint64_t seed : context.seeds(1, 1, 3))
    for (const char* preconditioner : {"none", "fop"}) {
      Run run = cifar_run(size, preconditioner, seed);
      run.flags.rule = rule;
      run.flags.lr = std::string(rule) == "momentum" ? size.rate(lr) : lr;
      run.flags.momentum = momentum;
      run.flags.hyper_lr = 5e-4;
      run.name = std::string(rule) + (std::string(rule) == "momentum" ? " " + apps::exact(momentum) : "") + ", lr " +
                 apps::exact(lr) + ", " + run.name;
      (std::string(preconditioner) == "fop" ? cell.fop : cell.plain).push_back(run);
    }
  return cell;
}

std::vector<Cell> grid_a(const Context& context) {
  const std::vector<double> rates = context.by_scale<std::vector<double>>({0.01, 0.1}, {0.001, 0.01, 0.05, 0.1},
                                                                          {0.001, 0.01, 0.05, 0.1}),
                            momenta = context.by_scale<std::vector<double>>({0.5, 0.9}, {0.1, 0.5, 0.9, 0.99},
                                                                            {0.1, 0.5, 0.9, 0.99});
  std::vector<Cell> cells;
  for (double momentum : momenta)
    for (double lr : rates) cells.push_back(make_cell(context, size(context, 3000), "momentum", lr, momentum));
  return cells;
}

std::vector<Cell> grid_b(const Context& context) {
  const std::vector<double> decades{1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1};
  std::vector<Cell> cells;
  for (double lr : context.by_scale<std::vector<double>>({1e-4, 1e-2}, decades, decades))
    cells.push_back(make_cell(context, size(context, 5000), "adam", lr, 0.9));
  return cells;
}

std::vector<Run> runs_of(const std::vector<Cell>& cells) {
  std::vector<Run> runs;
  for (const Cell& cell : cells) {
    runs.insert(runs.end(), cell.plain.begin(), cell.plain.end());
    runs.insert(runs.end(), cell.fop.begin(), cell.fop.end());
  }
  return runs;
}

PairedDifference difference_of(const Context& context, const Cell& cell) {
  return paired_difference(values_of(context, cell.fop, "final_accuracy", 100),
                           values_of(context, cell.plain, "final_accuracy", 100));
}

/// In how many cells FOP is better, and worse, beyond its interval; of a single seed in how many its value is higher,
/// and lower, which is no verdict.
struct Tally {
  size_t better = 0, worse = 0, cells = 0;
  bool one_seed = false;
  std::string text(const char* cell) const {
    return gradus::text(one_seed ? "With FOP this seed ends higher in " : "FOP is better in ", better, " of ", cells,
                        " ", cell, one_seed ? " and lower in " : " and worse in ", worse);
  }
};

/// What one seed's differences are worth; empty where there are more.
std::string of_one_seed(const Context& context, const std::vector<Cell>& cells) {
  if (cells[0].fop.size() > 1) return "";
  double highest = 0;
  for (const Cell& cell : cells)
    for (const Run& run : cell.fop) highest = std::max(highest, context.at(run).at("final_accuracy"));
  const int64_t images = cells[0].fop[0].test_samples;
  const double p = std::min(highest, 0.5), error = 100 * std::sqrt(2 * p * (1 - p) / static_cast<double>(images));
  return gradus::text(" A single seed has no interval, so there is no verdict: the choice of the ", images,
                      " test images alone gives a difference a standard error of up to ", fixed(error, 1),
                      " points, and another seed moves it besides.");
}

// The table and CSV of a grid.
Tally tabulate(const Context& context, Report& report, const std::vector<Cell>& cells, bool momentum) {
  Table table{{"learning rate", "momentum", "without FOP %", "with FOP %", "n", "difference, 95 % interval", "verdict"},
              {}};
  if (!momentum) table.header.erase(table.header.begin() + 1);
  std::vector<apps::Record> rows;
  Tally tally{.cells = cells.size(), .one_seed = cells[0].fop.size() == 1};
  for (const Cell& cell : cells) {
    const std::vector<double> plain = values_of(context, cell.plain, "final_accuracy", 100),
                              fop = values_of(context, cell.fop, "final_accuracy", 100);
    const PairedDifference gain = difference_of(context, cell);
    const int64_t lost_plain = count_diverged(context, cell.plain), lost_fop = count_diverged(context, cell.fop);
    const Told is = told(gain);
    const bool better = is == Told::above || (is == Told::one_pair && gain.mean > 0),
               worse = is == Told::below || (is == Told::one_pair && gain.mean < 0);
    std::string verdict =
        in_words(gain, {.above = "FOP is better", .below = "FOP is worse", .equal = "equal", .open = "not told apart"});
    if (lost_plain + lost_fop > 0)
      verdict += ", diverged: " + std::to_string(lost_plain) + " without, " + std::to_string(lost_fop) + " with FOP";
    tally.better += better;
    tally.worse += worse;
    table.rows.push_back({apps::exact(cell.lr), apps::exact(cell.momentum),
                          plus_minus(mean(plain), standard_deviation(plain), 2),
                          plus_minus(mean(fop), standard_deviation(fop), 2), std::to_string(fop.size()),
                          plus_minus(gain.mean, gain.half_width, 2), verdict});
    if (!momentum) table.rows.back().erase(table.rows.back().begin() + 1);
    rows.push_back({{"learning_rate", cell.lr},
                    {"momentum", cell.momentum},
                    {"without_fop", mean(plain)},
                    {"with_fop", mean(fop)},
                    {"difference", gain.mean},
                    {"diverged_without", lost_plain},
                    {"diverged_with", lost_fop}});
  }
  report.table(table);
  report.csv("accuracies", rows);
  return tally;
}

/// What both notes end with.
std::string about(const Context& context, const CifarSize& size, const std::vector<Cell>& cells) {
  return " Hypergradients by Adam with 5e-4. " + size.recipe() + about_diverged(context, runs_of(cells)) +
         " The paper prints no numbers for this figure." + of_one_seed(context, cells);
}

void read_a(const Context& context, Report& report) {
  const std::vector<Cell> cells = grid_a(context);
  report.protocol(size(context, 3000).text() + ", " + std::to_string(cells[0].fop.size()) + " seeds");
  const Tally tally = tabulate(context, report, cells, true);
  report.note(tally.text("cells") +
              "; in the paper it helps most at a high learning rate and momentum. The axis of learning rates is "
              "not legible in the paper: this one is ours." +
              about(context, size(context, 3000), cells));
  const size_t columns = static_cast<size_t>(
      std::count_if(cells.begin(), cells.end(), [&](const Cell& cell) { return cell.momentum == cells[0].momentum; }));
  std::string x_names, y_names;
  for (size_t i = 0; i < columns; ++i)
    x_names += (i ? ", '" : "'") + apps::exact(cells[i].lr) + "' " + std::to_string(i);
  for (size_t i = 0; i < cells.size(); i += columns)
    y_names += (i ? ", '" : "'") + apps::exact(cells[i].momentum) + "' " + std::to_string(i / columns);
  std::string commands = "unset title\nunset key\nset xtics (" + x_names + ")\nset ytics (" + y_names +
                         ")\nset xlabel 'learning rate'\nset ylabel 'momentum'\ncolumns = " + std::to_string(columns) +
                         "\nset palette defined (0 '#c9b1dd', 1 '#86cbc5', 2 '#fde725')\n"
                         "set multiplot layout 1, 3 title heading\n";
  double largest = 0, lowest = 100, highest = 0;  // differences; accuracies, of both panels on one scale
  for (const Cell& cell : cells) {
    largest = std::max(largest, std::abs(difference_of(context, cell).mean));
    for (const std::vector<Run>* runs : {&cell.plain, &cell.fop}) {
      const double accuracy = mean(values_of(context, *runs, "final_accuracy", 100));
      lowest = std::min(lowest, accuracy);
      highest = std::max(highest, accuracy);
    }
  }
  if (lowest < highest) commands += "set cbrange [" + apps::exact(lowest) + ":" + apps::exact(highest) + "]\n";
  const std::string range = apps::exact(largest > 0 ? largest : 1);
  const std::pair<const char*, int> panels[] = {{"without FOP, %", 3}, {"with FOP, %", 4}, {"difference", 5}};
  for (const auto& [name, column] : panels) {
    const std::string value = std::to_string(column), place = "(int($0) % columns):(int($0) / columns):";
    if (column == 5)  // white is 0
      commands +=
          "set palette defined (-1 '#2166ac', 0 '#ffffff', 1 '#b2182b')\nset cbrange [-" + range + ":" + range + "]\n";
    commands += std::string("set title '") + name + "'\nplot 'accuracies.csv' using " + place + value +
                " every ::1 with image, '' using " + place + "(sprintf('%.1f', column(" + value +
                "))) every ::1 with labels\n";
  }
  report.plot("heat_maps", "Final test accuracy", commands + "unset multiplot\n", 1300, 500);
}

void read_b(const Context& context, Report& report) {
  const std::vector<Cell> cells = grid_b(context);
  report.protocol(size(context, 5000).text() + ", " + std::to_string(cells[0].fop.size()) + " seeds");
  const Tally tally = tabulate(context, report, cells, false);
  report.note(tally.text("learning rates") +
              "; in the paper the curves are similar, FOP's slightly higher at the top." +
              about(context, size(context, 5000), cells));
  report.plot("curves", "Final test accuracy over Adam's learning rate",
              "set logscale x\nset format x '%.0e'\nset xlabel 'learning rate'\nset ylabel 'test accuracy, %'\n"
              "set key top left\nplot 'accuracies.csv' using 1:3 every ::1 with linespoints lw 2 title 'Adam', "
              "'' using 1:4 every ::1 with linespoints lw 2 title 'Adam with FOP'\n");
}

}  // namespace

constexpr Experiment experiment_a{.name = "figure_3a",
                                  .title = "Figure 3a: learning rate and momentum, with FOP and without",
                                  .images = Images::cifar10,
                                  .runs = [](const Context& context) { return runs_of(grid_a(context)); },
                                  .read = read_a};

constexpr Experiment experiment_b{.name = "figure_3b",
                                  .title = "Figure 3b: Adam's learning rate, with FOP and without",
                                  .images = Images::cifar10,
                                  .runs = [](const Context& context) { return runs_of(grid_b(context)); },
                                  .read = read_b};

}  // namespace gradus::reproduce::figure_3
