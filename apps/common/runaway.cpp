#include "apps/common/runaway.h"

#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "apps/common/training_flags.h"
#include "core/error.h"
#include "optim/diagnostics.h"

namespace gradus::apps {
namespace {

std::string rounded(double value) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.3g", value);
  return digits;
}

/// A parameter whose P has grown beyond bounds, infinitely where float32 does not hold it. No name: there is none.
struct Grown {
  std::string parameter = {};
  double times = runaway_gain;

  void meet(const std::string& name, double growth) {
    if (!(growth > times)) return;
    parameter = name;
    times = growth;
  }
};

/// The same of parameters whose gradient tells nothing, by what P makes of ones; and those whose P is not finite.
/// Captured steps find out some steps later that a loss is not finite. By then gradients may be zero or not finite, and
/// P has learned from them.
Grown grown_on_ones(const optim::Optimizer& optimizer, const std::vector<optim::PreconditionerReport>& on_gradients,
                    std::vector<std::string>& not_finite) {
  Grown most;
  const auto on_ones = optimizer.diagnostics(optim::Diagnose::without_spectra, optim::DiagnoseOn::ones);
  for (size_t i = 0; i < on_ones.size(); ++i) {
    if (std::isfinite(on_gradients[i].initial_gain)) continue;
    const double growth = on_ones[i].gain / on_ones[i].initial_gain;
    if (std::isfinite(growth))
      most.meet(on_ones[i].parameter, growth);
    else
      not_finite.push_back(on_ones[i].parameter);
  }
  return most;
}

}  // namespace

std::string runaway_note(const optim::Optimizer& optimizer, const TrainingFlags& flags, bool lost) {
  Grown most;
  const auto reports = optimizer.diagnostics(optim::Diagnose::without_spectra);
  for (const optim::PreconditionerReport& report : reports) {
    const bool overflowed = lost && !std::isfinite(report.gain) && std::isfinite(report.initial_gain);
    most.meet(report.parameter,
              overflowed ? std::numeric_limits<double>::infinity() : report.gain / report.initial_gain);
  }
  std::vector<std::string> not_finite;
  const bool by_gradients = !lost || !most.parameter.empty();
  if (!by_gradients) most = grown_on_ones(optimizer, reports, not_finite);
  if (most.parameter.empty() && not_finite.empty()) return "";

  // Without momentum the direction is the gradient.
  const bool by_direction = flags.acts_on == "gradient" && flags.rule != "sgd";
  const std::string remedies =
      text(by_direction ? "--acts-on direction or " : "", "a smaller --hyper-lr than ", exact(flags.hyper_lr));
  if (most.parameter.empty()) {
    const std::string more = not_finite.size() == 1 ? "" : text(" (and ", not_finite.size() - 1, " more)");
    return text("the preconditioner of ", not_finite[0], more,
                " is no longer finite, as a cause or as a consequence; if that came first, ", remedies, " may help");
  }
  const std::string growth =
      std::isfinite(most.times) ? rounded(most.times) + " times as long as at the start" : "longer than float32 holds";
  if (lost)
    return text("the preconditioner of ", most.parameter, " makes ",
                by_gradients ? "the gradient " : "a gradient of ones ", growth, "; if that came first, ", remedies,
                " may help");
  return text("the preconditioner of ", most.parameter, " runs away: it makes the gradient ", growth,
              ", and such trainings end worse; try ", remedies);
}

}  // namespace gradus::apps
