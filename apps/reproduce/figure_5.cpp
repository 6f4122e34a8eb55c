// Figure 5 of the paper: what FOP's matrices look like on CIFAR-10: heat maps over the training, histograms, spectra,
// and the norm of P, of which section 6 says that it settles after two thirds of the training. A second experiment, of
// ours, does the same with P on the momentum in place of the gradient: docs/your-own-preconditioner.md says why.
#include <algorithm>
#include <cmath>
#include <optional>

#include "apps/reproduce/experiment.h"
#include "apps/reproduce/gnuplot.h"
#include "apps/reproduce/protocols.h"
#include "apps/reproduce/statistics.h"
#include "apps/reproduce/whitening.h"
#include "core/linalg.h"

namespace gradus::reproduce::figure_5 {
namespace {

constexpr int layer_count = 7;  ///< the 3 x 3 ones; 1 x 1 convolutions learn a single number
constexpr int64_t n = 9, side = 3;
constexpr double clearly = 0.01;  ///< a whitening score below is that of a P that has hardly left the identity

CifarSize size(const Context& context) {
  return context.by_scale<CifarSize>(
      {.train = 32, .test = 20, .epochs = 2, .batch = 16, .drop_after = 1, .dropout = false},
      {.train = 20000, .test = 2000, .epochs = 25, .batch = 64, .drop_after = 13, .dropout = false}, {});
}

std::string layer_name(int layer) { return "conv" + std::to_string(layer + 1); }

/// Over the positions of the kernel, by rows.
using Matrix = std::vector<double>;

double at(const Matrix& p, int64_t row, int64_t column) { return p[static_cast<size_t>(row * n + column)]; }

double frobenius(const Matrix& p) {
  double sum = 0;
  for (double value : p) sum += value * value;
  return std::sqrt(sum);
}

struct Snapshot {
  double step;
  Matrix p;
};

std::vector<Snapshot> snapshots(const Outcome& outcome, int layer) {
  std::vector<Snapshot> result;
  const auto found = outcome.series.find("P " + layer_name(layer));
  if (found == outcome.series.end()) return result;
  for (const std::vector<double>& row : found->second.rows) result.push_back({row[0], {row.begin() + 1, row.end()}});
  return result;
}

// Heat maps of three moments for every layer, on one scale.
std::string heat_map_commands(const std::vector<double>& moments, double largest) {
  std::string commands =
      "set palette defined (-1 '#2166ac', 0 '#ffffff', 1 '#b2182b')\nset cbrange [-" + scientific(largest) + ":" +
      scientific(largest) +
      "]\nunset key\nunset title\n"
      "set size ratio 1\nset xrange [-0.5:8.5]\nset yrange [8.5:-0.5]\nunset xtics\nunset ytics\nunset colorbox\n"
      "set multiplot layout " +
      std::to_string(moments.size()) + ", 7 title heading\n";
  for (double moment : moments)
    for (int layer = 0; layer < layer_count; ++layer)
      commands += "set title '" + layer_name(layer) + ", step " + fixed(moment, 0) + "'\n" +
                  plot_squares("matrices", "strcol(1) eq '" + layer_name(layer) + "' && $2 == " + fixed(moment, 0), 3,
                               4, "$5 - ($3 == $4)");
  return commands + "unset multiplot\n";
}

std::string lines_commands(const std::string& file, const std::string& x, const std::string& y, int x_column,
                           int y_column) {
  std::string commands = "set xlabel '" + x + "'\nset ylabel '" + y +
                         "'\nset key outside right\nof(l) = strcol(1) eq l ? column(" + std::to_string(y_column) +
                         ") : NaN\nplot ";
  for (int layer = 0; layer < layer_count; ++layer)
    commands += "'" + file + ".csv' using " + std::to_string(x_column) + ":(of('" + layer_name(layer) +
                "')) every ::1 with linespoints pt 7 ps 0.5 title '" + layer_name(layer) + "'" +
                (layer + 1 < layer_count ? ", " : "\n");
  return commands;
}

std::string histogram_commands() {
  std::string commands =
      "set xlabel 'off-diagonal entry'\nset ylabel 'number'\nset key outside right\n"
      // A row of another layer, or of the diagonal, would otherwise end the run of rows that are counted together.
      "set datafile missing NaN\nset yrange [0:*]\n"
      "width = 0.01\nbin(x) = width * floor(x / width + 0.5)\n"
      "of(l) = strcol(1) eq l && strcol(2) eq 'off-diagonal' ? bin(column(3)) : NaN\nplot ";
  for (int layer = 0; layer < layer_count; ++layer)
    commands += "'entries.csv' using (of('" + layer_name(layer) +
                "')):(1) every ::1 smooth frequency with linespoints title '" + layer_name(layer) + "'" +
                (layer + 1 < layer_count ? ", " : "\n");
  return commands;
}

/// Matrices are those of one training, so there is one.
Run run_of(const Context& context, const std::string& acts_on) {
  Run run = cifar_run(size(context), "fop", 0);
  run.flags.acts_on = acts_on;
  if (acts_on != "gradient") run.name = "fop on the " + acts_on + ", seed 0";
  return run;
}

std::vector<Run> runs(const Context& context) { return {run_of(context, "gradient")}; }
std::vector<Run> runs_on_direction(const Context& context) { return {run_of(context, "direction")}; }

void report_on(const Context& context, const Run& training, Report& report) {
  report.protocol(size(context).text() + ", seed 0");
  const Outcome& outcome = context.at(training);
  Table table{
      {"layer", "norm of P", "settles at", "smallest eigenvalue", "largest", "spread", "whitening score", "verdict"},
      {}};
  std::vector<apps::Record> matrices, spectra, norms, entries;
  std::vector<double> moments;
  size_t whitened = 0, settled = 0;
  double largest = 1e-6;  ///< of the entries of P - I at the end
  for (int layer = 0; layer < layer_count; ++layer) {
    const std::vector<Snapshot> all = snapshots(outcome, layer);
    if (all.empty()) continue;  // it diverged before the first
    const apps::Record label{{"layer", layer_name(layer)}};
    std::vector<double> course;
    for (const Snapshot& snapshot : all) {
      course.push_back(frobenius(snapshot.p));
      apps::Record row = label;
      row.add({{"step", snapshot.step}, {"norm", course.back()}, {"whitening", whitening_score(snapshot.p, side)}});
      norms.push_back(row);
      for (int64_t a = 0; a < n; ++a)
        for (int64_t b = 0; b < n; ++b) {
          apps::Record entry = label;
          entry.add({{"step", snapshot.step}, {"row", a}, {"column", b}, {"value", at(snapshot.p, a, b)}});
          matrices.push_back(entry);
        }
    }
    moments = {all.front().step, all[all.size() / 2].step, all.back().step};
    const Matrix& last = all.back().p;
    for (int64_t a = 0; a < n; ++a)
      for (int64_t b = 0; b < n; ++b) {
        largest = std::max(largest, std::abs(at(last, a, b) - (a == b ? 1 : 0)));
        apps::Record entry = label;
        entry.add({{"kind", a == b ? "diagonal" : "off-diagonal"}, {"value", at(last, a, b)}});
        entries.push_back(entry);
      }
    const std::vector<double> values = symmetric_eigenvalues(Tensor::from(last, {n, n})).to_vector<double>();
    for (size_t i = 0; i < values.size(); ++i) {
      apps::Record row = label;
      row.add({{"index", static_cast<int64_t>(values.size() - i)}, {"eigenvalue", values[i]}});
      spectra.push_back(row);
    }
    const std::optional<size_t> from = settles_at(course, 0.02);
    const double settles = from ? all[*from].step / all.back().step : std::nan("");
    const double score = whitening_score(last, side);
    whitened += score > clearly ? 1 : 0;
    settled += settles <= 0.75 ? 1 : 0;
    table.rows.push_back({layer_name(layer), fixed(course.back(), 4),
                          std::isnan(settles) ? "-" : fixed(100 * settles, 0) + " %", fixed(values.front(), 4),
                          fixed(values.back(), 4), fixed(values.back() - values.front(), 4), fixed(score, 4),
                          score > clearly    ? "neighbors are negative: whitens"
                          : score < -clearly ? "does not whiten"
                                             : "no structure to speak of"});
  }
  report.table(table);
  report.note(
      "The paper shows a whitening structure (" + std::to_string(whitened) + " of " +
      std::to_string(table.rows.size()) +
      " layers here: minus the mean entry of P between touching positions, over the mean of its diagonal, is "
      "above " +
      apps::exact(clearly) + ") and says that the norm settles at two thirds of the training (" +
      std::to_string(settled) +
      " layers here are within 2 % of their last norm by three quarters). Its spectra are lower and flatter in "
      "higher layers. The matrices differ from the identity only as far as the training is long: Adam with 1e-4 "
      "moves an entry of M by at most about 1e-4 per step. Heat maps show P - I. " +
      size(context).recipe() + (outcome.diverged.empty() ? "" : " The training diverged: " + outcome.diverged) +
      (context.request().seeds > 1
           ? " One seed is all there is, whatever --seeds says: matrices are those of one training."
           : ""));
  report.csv("matrices", matrices);
  report.csv("spectra", spectra);
  report.csv("norms", norms);
  report.csv("entries", entries);
  if (moments.empty()) return;  // nothing to plot
  report.plot(
      "heat_maps",
      "P - I from -" + scientific(largest) + " (blue) to " + scientific(largest) + " (red): start, middle and end",
      heat_map_commands(moments, largest), 1400, 750);
  report.plot("spectra", "Eigenvalues of P at the end", lines_commands("spectra", "index", "eigenvalue", 2, 3));
  report.plot("norms", "Norm of P over the training", lines_commands("norms", "step", "Frobenius norm", 2, 3));
  report.plot("whitening", "Whitening score over the training", lines_commands("norms", "step", "score", 2, 4));
  report.plot("histograms", "Entries of P off the diagonal at the end", histogram_commands());
}

void read(const Context& context, Report& report) { report_on(context, run_of(context, "gradient"), report); }
void read_on_direction(const Context& context, Report& report) {
  report_on(context, run_of(context, "direction"), report);
}

}  // namespace

constexpr Experiment experiment{.name = "figure_5",
                                .title = "Figure 5: the matrices that FOP learns",
                                .images = Images::cifar10,
                                .runs = runs,
                                .read = read};
constexpr Experiment on_direction{.name = "figure_5_direction",
                                  .title = "Figure 5 with P on the momentum, ours: the matrices that FOP learns",
                                  .images = Images::cifar10,
                                  .runs = runs_on_direction,
                                  .read = read_on_direction};

}  // namespace gradus::reproduce::figure_5
