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

}  // namespace

std::string runaway_note(const optim::Optimizer& optimizer, const TrainingFlags& flags, bool lost) {
  std::string parameter, what = "the gradient ";
  double highest = runaway_gain;
  const auto reports = optimizer.diagnostics(optim::Diagnose::without_spectra);
  for (const optim::PreconditionerReport& report : reports) {
    const bool overflowed = lost && !std::isfinite(report.gain) && std::isfinite(report.initial_gain);
    const double growth = overflowed ? std::numeric_limits<double>::infinity() : report.gain / report.initial_gain;
    if (!(growth > highest)) continue;
    parameter = report.parameter;
    highest = growth;
  }
  // Captured steps find out some steps later that a loss is not finite. By then gradients may be zero or not finite,
  // and P has learned from them.
  std::vector<std::string> broken;
  if (lost && parameter.empty()) {
    what = "a gradient of ones ";
    const auto on_ones = optimizer.diagnostics(optim::Diagnose::on_ones);
    for (size_t i = 0; i < reports.size(); ++i) {
      if (std::isfinite(reports[i].initial_gain)) continue;  // its gradient does tell
      const double growth = on_ones[i].gain / on_ones[i].initial_gain;
      if (!std::isfinite(growth)) broken.push_back(reports[i].parameter);
      if (!std::isfinite(growth) || growth <= highest) continue;
      parameter = reports[i].parameter;
      highest = growth;
    }
  }
  if (parameter.empty() && broken.empty()) return "";
  // Without momentum the direction is the gradient.
  const bool by_direction = flags.acts_on == "gradient" && flags.rule != "sgd";
  const std::string remedies =
      text(by_direction ? "--acts-on direction or " : "", "a smaller --hyper-lr than ", exact(flags.hyper_lr));
  if (parameter.empty()) {
    const std::string which = broken.size() == 1 ? text(" of ", broken[0], " makes")
                                                 : text("s of ", broken[0], " and ", broken.size() - 1, " more make");
    return text("what the preconditioner", which, " of ones is no longer finite; if one ran away first, ", remedies,
                " may help");
  }
  const std::string growth =
      std::isfinite(highest) ? rounded(highest) + " times as long as at the start" : "longer than float32 holds";
  if (lost)
    return text("the preconditioner of ", parameter, " makes ", what, growth, "; if that came first, ", remedies,
                " may help");
  return text("the preconditioner of ", parameter, " runs away: it makes the gradient ", growth,
              ", and such trainings end worse; try ", remedies);
}

}  // namespace gradus::apps
