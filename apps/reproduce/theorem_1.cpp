// Theorem 1 of the paper: on convex smooth problems FOP converges when its P is rescaled at every step to the norm
// gamma(t), which tends to p_inf < 1 / L (section 6). The proof needs P only semi-definite, which is not enough: its
// smallest eigenvalue has to stay above a positive constant. Then f_k - f* <= 2 R^2 / (c k), where R bounds the
// distance to a solution and c the eigenvalues from below, as soon as the largest is at most 1 / L: the descent lemma
// gives a decrease of at least c |grad f|^2 / 2 per step.
#include <cmath>

#include "apps/reproduce/descent_bound.h"
#include "apps/reproduce/experiment.h"
#include "apps/reproduce/gnuplot.h"
#include "apps/reproduce/problems.h"

namespace gradus::reproduce::theorem_1 {
namespace {

constexpr int64_t steps = 2000;

double distance(const Tensor& x, const std::vector<double>& solution) {
  const std::vector<double> values = x.to_vector<double>();
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) sum += (values[i] - solution[i]) * (values[i] - solution[i]);
  return std::sqrt(sum);
}

// P is learned additively, as in the proof, with the step's length in P itself.
Course descend(const Problem& problem, double limit, double hyper_lr, const Tensor& p) {
  const Parameter theta = start_of(problem);
  optim::Optimizer optimizer = optim::over({theta})
                                   .rule(optim::Sgd{.lr = 1})
                                   .precondition(optim::Fop{.hyper = optim::Sgd{.lr = hyper_lr},
                                                            .form = optim::Fop::Form::direct,
                                                            .rescale = optim::Fop::Rescale{.limit = limit}})
                                   .build();
  Tensor learned = optimizer.state().at("theta/fop.direct");
  copy_(learned, p);
  Course course;
  for (int64_t step = 0; step < steps; ++step) {
    course.gaps.push_back(evaluate(problem, theta) - problem.lowest);
    course.distances.push_back(distance(theta.value(), problem.solution));
    const std::vector<double> spectrum = optimizer.diagnostics()[0].eigenvalues.to_vector<double>();
    course.lowest.push_back(spectrum.front());
    course.highest.push_back(spectrum.back());
    optimizer.step();
  }
  return course;
}

void read(const Context&, Report& report) {
  report.protocol("float64, the same at every scale");
  Table table{{"problem", "P at the start", "p_inf", "norm of P at the end", "smallest eigenvalue", "bound from step",
               "f - f* at the start", "at the end", "verdict"},
              {}};
  std::vector<apps::Record> rows;
  struct Case {
    Problem problem;
    bool semidefinite;
  };
  for (const Case& c : {Case{rotated_quadratic(), false}, Case{logistic(), false}, Case{log_cosh(), false},
                        Case{rotated_quadratic(), true}}) {
    const Problem& f = c.problem;
    const auto n = static_cast<int64_t>(f.start.size());
    const double limit = 0.9 / f.smoothness;
    // Semi-definite: the quadratic's axis of least curvature is not in the range of P, nor does learning bring it in,
    // as the hypergradient g g'^T lives where the gradients do: P is held fixed to show the fault of the proof alone.
    Tensor p = Tensor::eye(n, DType::float64);
    if (c.semidefinite) p = p - Tensor::full({n, n}, 1.0 / static_cast<double>(n), DType::float64);
    const Course course = descend(f, limit, c.semidefinite ? 0 : 1e-3, p);
    const DescentBound bound = check_descent(course, f.smoothness);
    const bool positive = bound.eigenvalue > 1e-6, converged = course.gaps.back() < 1e-3 * course.gaps.front();
    const std::string start = c.semidefinite ? "semi-definite, fixed" : "I, learned",
                      verdict = c.semidefinite
                                    ? (converged ? "CONVERGED, unexpectedly" : "does not converge: the proof's gap")
                                : bound.checked == 0 ? "NO BOUND WAS CHECKED: P never stays within 1 / L"
                                : positive && bound.holds() && converged ? "converges within the bound"
                                                                         : "DOES NOT HOLD";
    table.rows.push_back({f.name, start, fixed(limit, 4), fixed(course.highest.back(), 4), fixed(bound.eigenvalue, 4),
                          std::to_string(bound.from), fixed(course.gaps.front(), 4), scientific(course.gaps.back()),
                          verdict});
    for (size_t k = 0; k < course.gaps.size(); ++k)
      if (k < 50 || k % 10 == 0)
        rows.push_back({{"problem", f.name + (c.semidefinite ? ", semi-definite" : "")},
                        {"step", static_cast<int64_t>(k)},
                        {"gap", course.gaps[k]},
                        {"smallest_eigenvalue", course.lowest[k]},
                        {"largest_eigenvalue", course.highest[k]},
                        {"bound", positive ? bound.limit(k) : std::nan("")}});
  }
  report.table(table);
  report.note(
      "theta <- theta - P grad f with P rescaled to the norm gamma(t) = norm(P) / t^2 + (1 - 1 / t^2) p_inf, p_inf = "
      "0.9 / L, and learned additively with rho = 0.001. The bound is 2 R^2 / (c k) from the step on after which P "
      "stays within 1 / L.");
  report.csv("courses", rows);
  std::string commands =
      "set logscale xy\nset format y '%.0e'\nset yrange [1e-10:*]\nset xlabel 'step + 1'\nset ylabel 'f - f*'\n"
      "set key below\nof(p, c) = strcol(1) eq p && column(c) > 0 ? column(c) : NaN\nplot ";
  int color = 0;
  for (const char* name : {"quadratic", "logistic", "sum log cosh", "quadratic, semi-definite"}) {
    const std::string from = "'courses.csv' using ($2 + 1):(of('" + csv_name(name) + "', ",
                      line = " lc " + std::to_string(++color);
    commands += from + "3)) every ::1 with lines lw 2" + line + " title '" + name + "', ";
    // Without a positive eigenvalue there is none.
    if (std::string(name).find("semi-definite") == std::string::npos)
      commands += from + "6)) every ::1 with lines dt 2" + line + " title 'its bound', ";
  }
  commands.resize(commands.size() - 2);
  report.plot("courses", "f - f* over the steps; dashed: the bound that was checked", commands + "\n");
}

}  // namespace

constexpr Experiment experiment{.name = "theorem_1",
                                .title = "Theorem 1: rescaled FOP on convex problems",
                                .read = read,
                                .full_precision_only = true,
                                .same_at_every_scale = true};

}  // namespace gradus::reproduce::theorem_1
