#include "apps/reproduce/inspect.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "apps/common/checkpoint.h"
#include "apps/common/command_line.h"
#include "apps/common/run_directory.h"
#include "apps/common/training_flags.h"
#include "apps/reproduce/gnuplot.h"
#include "apps/reproduce/report.h"
#include "apps/reproduce/whitening.h"
#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/ops.h"

namespace gradus::reproduce {
namespace {

namespace fs = std::filesystem;

constexpr int64_t largest_matrix = 128;     ///< rows of a P that matrices.csv takes
constexpr int64_t longest_spectrum = 1024;  ///< eigenvalues of a layer in spectra.csv

apps::Checkpoint open_checkpoint(const std::string& path) {
  if (!fs::is_directory(path)) return apps::load_checkpoint(path);
  auto newest = apps::newest_checkpoint(path, apps::note);
  if (!newest)
    fail(ErrorKind::io, "inspect", path, " holds no checkpoint; train with --out ", path, ", or name a checkpoint");
  return *newest;
}

/// What the run beside the checkpoint was asked for.
struct Asked {
  optim::AnyPreconditioner preconditioner;
  std::string acts_on;  ///< "gradient" or "direction"
};
Asked asked_of(const apps::Checkpoint& checkpoint) {
  const std::string path = (fs::path(checkpoint.path).parent_path() / "config.json").string();
  const Json config = Json::parse_or_null(read_file(path));
  apps::TrainingFlags flags;
  try {
    if (const Json* walks = config.find("optimizer")) {  // of walker_train, which names both at once
      const std::string& name = walks->string();
      const bool learns = name.starts_with("fop") || name.ends_with("-hd");
      flags.preconditioner = name == "fop-adam" ? "fop" : learns ? name : "none";
    } else {
      flags.preconditioner = config.at("preconditioner").string();
      flags.form = config.at("form").string();
      flags.rank = config.at("rank").get<int64_t>();
      if (const Json* acts_on = config.find("acts_on")) flags.acts_on = acts_on->string();
    }
  } catch (const JsonError&) {
    fail(ErrorKind::io, "inspect", path, " does not say which preconditioner the run has: it is damaged");
  }
  if (flags.preconditioner == "none")
    fail(ErrorKind::value, "inspect", "the run of ", checkpoint.path,
         " has no preconditioner, so there is nothing to see");
  return {flags.make_preconditioner(), flags.acts_on};
}

/// What a weight's shape says of its layer.
ParamInfo info_of(const std::string& name, const Shape& shape) {
  const bool conv = shape.rank() == 4;
  return {.name = name,
          .layer = conv ? LayerKind::conv : LayerKind::linear,
          .role = ParamRole::weight,
          .out = shape[0],
          .in = shape[1],
          .kernel = {conv ? shape[2] : 1, conv ? shape[3] : 1}};
}

/// Every preconditioned parameter of the checkpoint, in order of names.
std::vector<optim::PreconditionerReport> reports_of(const apps::Checkpoint& checkpoint, const Asked& asked) {
  const optim::AnyPreconditioner& options = asked.preconditioner;
  const StateDict state = checkpoint.under("optimizer");
  const auto lr = state.find("group.0/lr");
  const optim::StepInfo at{checkpoint.integer("step"), lr == state.end() ? 0 : lr->second.item()};
  std::vector<optim::PreconditionerReport> reports;
  for (const auto& [name, value] : checkpoint.under("model")) {
    const std::string slot = name + "/" + options.name() + ".";
    const ParamInfo info = info_of(name, value.shape());
    const auto preconditioner = options.make({.info = info, .value = value, .lr = at.lr});
    if (!preconditioner) continue;
    const auto learned = state.find(slot + preconditioner->learned_name());
    const auto previous = state.find(slot + (asked.acts_on == "gradient" ? "previous" : "previous_direction"));
    if (learned == state.end()) continue;
    if (!(preconditioner->initial().shape() == learned->second.shape()))
      fail(ErrorKind::value, "inspect", checkpoint.path, ": what ", name, " has learned is of shape ",
           learned->second.shape(), ", which does not fit the preconditioner that config.json names");
    const bool has_gradient = previous != state.end() && previous->second.shape() == value.shape();
    try {
      reports.push_back(
          optim::report_on(*preconditioner, learned->second, has_gradient ? previous->second : Tensor(), at));
    } catch (const Error& error) {  // it overflows
      fail(error.kind(), "inspect", checkpoint.path, ": ", name, ": ", error.what());
    }
    reports.back().parameter = name;
    reports.back().preconditioner = options.name();
  }
  if (reports.empty()) fail(ErrorKind::value, "inspect", checkpoint.path, " holds no learned preconditioner");
  return reports;
}

std::vector<double> numbers(const Tensor& tensor) { return cast(tensor, DType::float64).to_vector<double>(); }

/// Not a number where P is not one over the positions of a square kernel.
double whitening_of(const optim::PreconditionerReport& report, const Shape& weight) {
  if (!report.matrix.defined() || weight.rank() != 4 || weight[2] != weight[3] ||
      report.matrix.size(0) != weight[2] * weight[3] || weight[2] == 1)
    return std::nan("");
  return whitening_score(numbers(report.matrix), weight[2]);
}

struct Row {
  optim::PreconditionerReport report;
  double whitening;
  std::string acts_on;  ///< what angle and gain are those of
  double lowest() const { return select(report.eigenvalues, 0, 0).item(); }
  double highest() const { return select(report.eigenvalues, 0, report.eigenvalues.numel() - 1).item(); }
  /// Whether matrices.csv has it.
  bool is_drawn() const {
    return report.matrix.defined() && report.matrix.size(0) > 1 && report.matrix.size(0) <= largest_matrix;
  }
};

apps::Record record_of(const Row& row) {
  const optim::PreconditionerReport& r = row.report;
  return {{"layer", r.parameter},
          {"preconditioner", r.preconditioner},
          {"norm", r.frobenius},
          {"smallest_eigenvalue", row.lowest()},
          {"largest_eigenvalue", row.highest()},
          {"whitening", row.whitening},
          {"acts_on", row.acts_on},
          {"angle_degrees", r.angle_degrees},
          {"gain", r.gain},
          {"paper_parameters", r.paper_parameters},
          {"stored_parameters", r.stored_parameters}};
}

Table table_of(const std::vector<Row>& rows) {
  const bool on_gradient = rows.front().acts_on == "gradient";
  Table table{{"layer", "norm of P", "smallest eigenvalue", "largest", "whitening score",
               on_gradient ? "angle of P g" : "angle of P v", on_gradient ? "|P g| / |g|" : "|P v| / |v|",
               "parameters: paper", "stored"},
              {}};
  for (const Row& row : rows)
    table.rows.push_back({row.report.parameter, fixed(row.report.frobenius, 4), fixed(row.lowest(), 4),
                          fixed(row.highest(), 4), fixed(row.whitening, 4), fixed(row.report.angle_degrees, 2),
                          fixed(row.report.gain, 4), std::to_string(row.report.paper_parameters),
                          std::to_string(row.report.stored_parameters)});
  return table;
}

/// Heat maps of P - I, one per layer, each on its own scale.
void write_matrices(const std::string& folder, const std::string& heading, const std::vector<Row>& rows) {
  std::vector<apps::Record> entries;
  std::string plots;
  size_t drawn = 0;
  for (const Row& row : rows) {
    if (!row.is_drawn()) continue;
    const std::vector<double> p = numbers(row.report.matrix);
    const int64_t n = row.report.matrix.size(0);
    double largest = 1e-12;
    for (int64_t i = 0; i < n * n; ++i) {
      const double value = p[static_cast<size_t>(i)];
      largest = std::max(largest, std::abs(value - (i % n == i / n ? 1 : 0)));
      entries.push_back({{"layer", row.report.parameter}, {"row", i / n}, {"column", i % n}, {"value", value}});
    }
    const std::string edge = std::to_string(n) + "-0.5";
    plots += "set title '" + row.report.parameter + ", to " + scientific(largest) + "'\nset cbrange [-" +
             scientific(largest) + ":" + scientific(largest) + "]\nset xrange [-0.5:" + edge + "]\nset yrange [" +
             edge + ":-0.5]\n" +
             plot_squares("matrices", "strcol(1) eq '" + row.report.parameter + "'", 2, 3, "$4 - ($2 == $3)");
    ++drawn;
  }
  if (drawn == 0) return;
  write_csv(folder, "matrices", entries);
  const size_t columns = std::min<size_t>(drawn, 4), lines = (drawn + columns - 1) / columns;
  write_plot(folder, "matrices", {"P - I, negative blue, positive red", heading},
             "set palette defined (-1 '#2166ac', 0 '#ffffff', 1 '#b2182b')\nunset key\nunset title\nset size ratio 1\n"
             "unset xtics\nunset ytics\nunset colorbox\nset multiplot layout " +
                 std::to_string(lines) + ", " + std::to_string(columns) + " title heading\n" + plots +
                 "unset multiplot\n",
             static_cast<int>(300 * columns), static_cast<int>(300 * lines + 60));
}

/// Eigenvalues from the largest on, over the part of them that is larger.
void write_spectra(const std::string& folder, const std::string& heading, const std::vector<Row>& rows) {
  std::vector<apps::Record> points;
  std::string plots;
  for (const Row& row : rows) {
    const std::vector<double> values = row.report.eigenvalues.to_vector<double>();  // ascending
    const auto count = static_cast<int64_t>(values.size());
    const int64_t every = (count + longest_spectrum - 1) / longest_spectrum;
    for (int64_t rank = 0; rank < count; rank += every)
      points.push_back({{"layer", row.report.parameter},
                        {"rank", rank + 1},
                        {"share", count == 1 ? 0 : static_cast<double>(rank) / static_cast<double>(count - 1)},
                        {"eigenvalue", values[static_cast<size_t>(count - 1 - rank)]}});
    plots += (plots.empty() ? "plot " : ", ") + ("'spectra.csv' using 3:(strcol(1) eq '" + row.report.parameter) +
             "' ? column(4) : NaN) every ::1 with linespoints pt 7 ps 0.5 title '" + row.report.parameter + "'";
  }
  write_csv(folder, "spectra", points);
  write_plot(folder, "spectra", {"Eigenvalues of P", heading},
             "set xlabel 'part of the eigenvalues that is larger'\nset ylabel 'eigenvalue'\nset key outside right\n" +
                 plots + "\n",
             1000, std::max(600, 120 + 20 * static_cast<int>(rows.size())));  // a line of the key for every layer
}

}  // namespace

int inspect(const InspectRequest& request) {
  const apps::Checkpoint checkpoint = open_checkpoint(request.path);
  std::vector<Row> rows;
  const Asked asked = asked_of(checkpoint);
  for (optim::PreconditionerReport& report : reports_of(checkpoint, asked)) {
    const double whitening = whitening_of(report, checkpoint.tensors.at("model/" + report.parameter).shape());
    rows.push_back({std::move(report), whitening, asked.acts_on});
  }
  const std::string heading = checkpoint.path + ", step " + checkpoint.text("step");
  if (request.json) {
    for (const Row& row : rows) apps::print_line(record_of(row).json());
  } else {
    const char* about =
        asked.acts_on == "gradient" ? "" : "P acts on v, the direction of the rule, with its momentum\n";
    apps::print_line(heading + "\n" + about + table_of(rows).plain());
  }
  if (request.out.empty()) return 0;
  const apps::RunDirectory folder(request.out);
  std::vector<apps::Record> records;
  for (const Row& row : rows) records.push_back(record_of(row));
  write_csv(folder.path(), "layers", records);
  write_matrices(folder.path(), heading, rows);
  write_spectra(folder.path(), heading, rows);
  return 0;
}

}  // namespace gradus::reproduce
