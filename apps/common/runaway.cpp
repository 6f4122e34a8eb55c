#include "apps/common/runaway.h"

#include <cmath>
#include <cstdio>
#include <limits>

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

}  // namespace

std::string runaway_note(const optim::Optimizer& optimizer, const TrainingFlags& flags, bool lost) {
  std::string parameter;
  double highest = runaway_gain;
  for (const optim::PreconditionerReport& report : optimizer.diagnostics(optim::Diagnose::without_spectra)) {
    const bool overflowed = lost && !std::isfinite(report.gain) && std::isfinite(report.initial_gain);
    const double growth = overflowed ? std::numeric_limits<double>::infinity() : report.gain / report.initial_gain;
    if (!(growth > highest)) continue;
    parameter = report.parameter;
    highest = growth;
  }
  if (parameter.empty()) return "";
  // Without momentum the direction is the gradient.
  const bool by_direction = flags.acts_on == "gradient" && flags.rule != "sgd";
  const std::string remedies =
      text(by_direction ? "--acts-on direction or " : "", "a smaller --hyper-lr than ", exact(flags.hyper_lr));
  const std::string growth =
      std::isfinite(highest) ? rounded(highest) + " times as long as at the start" : "longer than float32 holds";
  if (lost)
    return text("the preconditioner of ", parameter, " makes the gradient ", growth, "; if that came first, ", remedies,
                " may help");
  return text("the preconditioner of ", parameter, " runs away: it makes the gradient ", growth,
              ", and such trainings end worse; try ", remedies);
}

}  // namespace gradus::apps
