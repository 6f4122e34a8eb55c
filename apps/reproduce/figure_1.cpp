// Figure 1 of the paper: how many iterations gradient descent, FOP and Adam need on two test functions of two
// variables. The paper gives the counts alone; start, learning rate and stopping rule (toy.h) are those that give them
// exactly.
#include <filesystem>
#include <optional>

#include "apps/common/command_line.h"
#include "apps/common/record.h"
#include "apps/reproduce/experiment.h"
#include "apps/reproduce/table.h"
#include "apps/reproduce/toy.h"
#include "core/error.h"
#include "core/file.h"

namespace gradus::reproduce {
namespace {

/// One method, with the counts that the paper prints for Booth's and Himmelblau's function.
struct Method {
  const char* name;
  optim::AnyRule (*rule)(double lr);
  optim::AnyPreconditioner preconditioner;
  std::array<std::optional<int64_t>, 2> published;
};

optim::AnyRule sgd(double lr) { return optim::Sgd{.lr = lr}; }
optim::AnyRule adam(double lr) { return optim::Adam{.lr = lr}; }

std::vector<Method> methods() {
  using optim::Fop;
  return {
      {"sgd", sgd, optim::NoPreconditioner{}, {832, 386}},
      // P += rho eps (C + C^T) with rho = 0.025: twice the gradient of the symmetric P, so a hyper learning rate of
      // 0.05.
      {"fop_direct", sgd, Fop{.hyper = optim::Sgd{.lr = 0.05}, .form = Fop::Form::direct}, {543, 289}},
      {"adam", adam, optim::NoPreconditioner{}, {6221, 5398}},
      // Algorithm 1 with rho = 0.01. No round rho gives the published pair of FOP, so none is set beside it.
      {"fop_factor", sgd, Fop{.hyper = optim::Sgd{.lr = 0.01}, .form = Fop::Form::factor}, {}},
  };
}

struct Result {
  apps::Record record;
  std::vector<std::string> cells;
};

Result measure(const Toy& toy, const Method& method, DType dtype, const std::optional<int64_t>& published) {
  const Parameter theta = toy_parameter(toy, dtype);
  optim::Optimizer optimizer =
      optim::over({theta}).rule(method.rule(toy.lr)).precondition(method.preconditioner).build();
  const Descent descent = descend(toy, theta, optimizer);
  if (descent.iterations < 0)
    fail(ErrorKind::value, "figure_1", method.name, " did not solve ", toy.name, " in ", name(dtype));
  apps::Record record{{"function", std::string(toy.name)},
                      {"method", std::string(method.name)},
                      {"dtype", std::string(name(dtype))},
                      {"iterations", descent.iterations}};
  if (published) record.add("published", *published);
  record.add("end_x", descent.end[0]);
  record.add("end_y", descent.end[1]);
  const std::string verdict = !published ? ""
                              : *published == descent.iterations
                                  ? "exact"
                                  : "off by " + std::to_string(descent.iterations - *published);
  return {record,
          {toy.name, method.name, name(dtype), published ? std::to_string(*published) : "",
           std::to_string(descent.iterations), verdict, text("(", descent.end[0], ", ", descent.end[1], ")")}};
}

constexpr const char* note =
    "fop_direct learns P itself (rho 0.025) and gives the published counts of FOP; fop_factor is the paper's Algorithm "
    "1,\n"
    "P = M M^T (rho 0.01), which gives them for no common round rho. Iterations until f < 1e-6; Booth from (0, -4) "
    "with\n"
    "learning rate 0.005, Himmelblau from (0, -1) with 0.001.\n";

/// OUT/figure_1, made where it is missing: before the work, so that a mistyped path costs none.
std::string make_folder(const std::string& out) {
  const std::filesystem::path folder = std::filesystem::path(out) / "figure_1";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail(ErrorKind::io, "figure_1", "cannot make the folder ", folder.string(), ": ", error.message());
  return folder.string();
}

}  // namespace

void figure_1(const Request& request) {
  const std::string folder = request.out.empty() ? "" : make_folder(request.out);
  Table table{{"function", "method", "dtype", "paper", "measured", "verdict", "end"}, {}};
  std::string lines;
  for (size_t i = 0; i < std::size(toys); ++i)
    for (DType dtype : {DType::float32, DType::float64})
      for (const Method& method : methods()) {
        const Result result = measure(toys[i], method, dtype, method.published[i]);
        const std::string line = result.record.json();
        if (request.json) apps::print_line(line);
        lines += line + "\n";
        table.rows.push_back(result.cells);
      }
  if (!request.json) apps::print_line("Figure 1\n" + table.plain() + "\n" + note);
  if (folder.empty()) return;
  write_file_atomically(folder + "/table.md", "# Figure 1\n\n" + table.markdown() + "\n" + note);
  write_file_atomically(folder + "/iterations.jsonl", lines);
}

}  // namespace gradus::reproduce
