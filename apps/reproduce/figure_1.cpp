// Figure 1 of the paper: how many iterations gradient descent, FOP and Adam need on two test functions of two
// variables. The paper gives the counts alone; start, learning rate and stopping rule (toy.h) are those that give them
// exactly.
#include <map>
#include <optional>

#include "apps/reproduce/experiment.h"
#include "apps/reproduce/toy.h"
#include "core/error.h"

namespace gradus::reproduce::figure_1 {
namespace {

/// One method, with the counts that the paper prints for Booth's and Himmelblau's function.
struct Method {
  const char* name;
  optim::AnyRule (*rule)(double lr);
  optim::AnyPreconditioner preconditioner;
  std::array<std::optional<int64_t>, 2> published;
  bool ours = false;  ///< not a curve of the paper's figure: left out of --json, which programs read
};

optim::AnyRule sgd(double lr) { return optim::Sgd{.lr = lr}; }
optim::AnyRule adam(double lr) { return optim::Adam{.lr = lr}; }

std::vector<Method> methods() {
  using optim::Fop;
  const optim::Sgd rho{.lr = 0.01};
  return {
      {"sgd", sgd, optim::NoPreconditioner{}, {832, 386}},
      // P += rho eps (C + C^T) with rho = 0.025: twice the gradient of the symmetric P, so a hyper learning rate of
      // 0.05.
      {"fop_direct", sgd, Fop{.hyper = optim::Sgd{.lr = 0.05}, .form = Fop::Form::direct}, {543, 289}},
      {"adam", adam, optim::NoPreconditioner{}, {6221, 5398}},
      // Algorithm 1 with rho = 0.01. No round rho gives the published pair of FOP, so none is set beside it.
      {"fop_factor", sgd, Fop{.hyper = rho, .form = Fop::Form::factor}, {}},
      {"s_hd", sgd, optim::SHd{.hyper = rho}, {}, true},
      {"pp_hd", sgd, optim::PpHd{.hyper = rho}, {}, true},
      {"fop_norm", sgd, Fop{.hyper = rho, .form = Fop::Form::factor, .norm = Fop::Norm::through}, {}, true},
  };
}

std::string point(const std::array<double, 2>& p) { return "(" + fixed(p[0], 3) + ", " + fixed(p[1], 3) + ")"; }

struct Result {
  apps::Record record;
  std::vector<std::string> cells;
  std::vector<apps::Record> path;
  int64_t iterations = 0;
};

// Every iteration at first, then every tenth: what an eye can tell apart.
bool shown(int64_t iteration) { return iteration < 100 || iteration % 10 == 0; }

/// `in_float32`: the iterations there, where this is another dtype.
Result measure(const Toy& toy, const Method& method, DType dtype, const std::optional<int64_t>& published,
               const std::optional<int64_t>& in_float32) {
  const Parameter theta = toy_parameter(toy, dtype);
  optim::Optimizer optimizer =
      optim::over({theta}).rule(method.rule(toy.lr)).precondition(method.preconditioner).build();
  Result result;
  int64_t iteration = 0;
  const auto add_point = [&](double x, double y) {
    result.path.push_back({{"function", std::string(toy.name)},
                           {"method", std::string(method.name)},
                           {"iteration", iteration},
                           {"x", x},
                           {"y", y}});
  };
  const Descent descent = descend(toy, theta, optimizer, 20000, [&](const Tensor& at) {
    const std::vector<double> p = cast(at, DType::float64).to_vector<double>();
    if (shown(iteration)) add_point(p[0], p[1]);
    ++iteration;
  });
  if (descent.iterations < 0)
    fail(ErrorKind::value, "figure_1", method.name, " did not solve ", toy.name, " in ", name(dtype));
  add_point(descent.end[0], descent.end[1]);
  result.iterations = descent.iterations;
  apps::Record& record = result.record;
  record = {{"function", std::string(toy.name)},
            {"method", std::string(method.name)},
            {"dtype", std::string(name(dtype))},
            {"iterations", descent.iterations}};
  if (published) record.add("published", *published);
  record.add("end_x", descent.end[0]);
  record.add("end_y", descent.end[1]);
  const int64_t difference = descent.iterations - published.value_or(0);
  result.cells = {toy.name,
                  method.name,
                  name(dtype),
                  published ? std::to_string(*published) : "",
                  std::to_string(descent.iterations),
                  published ? std::to_string(difference) : "",
                  !published                ? (method.ours ? "ours, no published value" : "no published value")
                  : difference == 0         ? "exact"
                  : in_float32 == published ? "exact in float32 alone"
                                            : "not exact",
                  point(descent.end)};
  return result;
}

constexpr const char* note =
    "fop_direct learns P itself (rho 0.025) and gives the published counts of FOP; fop_factor is the paper's Algorithm "
    "1, P = M M^T (rho 0.01), which gives them for no common round rho. s_hd, pp_hd and fop_norm also use rho 0.01. "
    "Iterations until f < 1e-6; Booth from (0, -4) with learning rate 0.005, Himmelblau from (0, -1) with 0.001.";

struct Window {
  const char* formula;
  const char* range;
};
constexpr Window windows[] = {{"(x + 2*y - 7)**2 + (2*x + y - 5)**2", "set xrange [-4:6]\nset yrange [-5:6]\n"},
                              {"(x**2 + y - 11)**2 + (x + y**2 - 7)**2", "set xrange [-1:5]\nset yrange [-3.5:4]\n"}};

void plot_paths(Report& report, const Toy& toy, const Window& window) {
  std::string commands =
      std::string(window.range) + "f(x, y) = " + window.formula +
      "\nset xlabel 'x'\nset ylabel 'y'\nset key outside right\nset isosamples 150\n"
      "set contour base\nunset surface\nset cntrparam levels discrete 1, 5, 15, 40, 100, 200, 400\n"
      "set table $contours\nsplot f(x, y)\nunset table\n"
      "of(m) = strcol(2) eq m && strcol(1) eq '" +
      toy.name +
      "' ? column(4) : NaN\n"
      "word_of(i) = real(word(strcol(1), i))  # the separator of its columns is not ours\n"
      "plot $contours using (word_of(1)):(word_of(2)) with lines lc rgb '#bbbbbb' title 'contour lines'";
  for (const Method& method : methods())
    commands += std::string(", \\\n  'trajectories.csv' using (of('") + method.name +
                "')):5 every ::1 with lines lw 2 title '" + method.name + "'";
  report.plot(std::string("trajectories_") + toy.name, std::string("Trajectories on ") + toy.name, commands + "\n");
}

void read(const Context&, Report& report) {
  report.protocol("the same at every scale");
  Table table{{"function", "method", "dtype", "paper", "measured", "difference", "verdict", "end"}, {}};
  std::vector<apps::Record> counts, paths;
  std::map<std::string, int64_t> in_float32;  ///< of each function and method
  for (size_t i = 0; i < std::size(toys); ++i)
    for (DType dtype : {DType::float32, DType::float64})
      for (const Method& method : methods()) {
        const auto first = in_float32.find(text(toys[i].name, " ", method.name));
        const Result result =
            measure(toys[i], method, dtype, method.published[i],
                    first == in_float32.end() ? std::optional<int64_t>() : std::optional(first->second));
        if (dtype == DType::float32) in_float32[text(toys[i].name, " ", method.name)] = result.iterations;
        if (!method.ours) report.json_line(result.record);
        apps::Record row{{"function", std::string(toys[i].name)}};
        for (const auto& [name, value] : result.record.fields())
          if (name == "method" || name == "dtype" || name == "iterations") row.add(name, value);
        counts.push_back(row);
        if (dtype == DType::float32) paths.insert(paths.end(), result.path.begin(), result.path.end());
        table.rows.push_back(result.cells);
      }
  report.table(table);
  report.note(note);
  report.csv("iterations", counts);
  report.csv("trajectories", paths);
  for (size_t i = 0; i < std::size(toys); ++i) plot_paths(report, toys[i], windows[i]);
}

}  // namespace

constexpr Experiment experiment{.name = "figure_1",
                                .title = "Figure 1: iterations on Booth's and Himmelblau's functions",
                                .read = read,
                                .full_precision_only = true,
                                .same_at_every_scale = true};

}  // namespace gradus::reproduce::figure_1
