// Angles, norms and spectra of learned preconditioners.
#include "optim/diagnostics.h"

#include <cmath>
#include <numbers>

#include "core/ops.h"
#include "optim/preconditioner.h"

namespace gradus::optim {

PreconditionerReport report_on(const Preconditioner& preconditioner, const Tensor& m, const Tensor& x,
                               const StepInfo& at, Diagnose what) {
  PreconditionerReport report;
  report.angle_degrees = report.gain = report.initial_gain = report.frobenius = std::nan("");
  if (what == Diagnose::everything) {
    report.matrix = preconditioner.matrix(m, at);
    const int64_t n = report.matrix.defined() ? report.matrix.size(0) : m.rank() > 0 ? m.size(0) : 1;
    report.eigenvalues =
        all_finite(m) ? preconditioner.eigenvalues(m, at) : Tensor::full({n}, std::nan(""), DType::float64);
    const Tensor& has_norm = report.matrix.defined() ? report.matrix : report.eigenvalues;
    if (has_norm.defined()) report.frobenius = norm(has_norm);
  }
  report.paper_parameters = preconditioner.paper_count();
  report.stored_parameters = m.numel();
  if (x.defined()) {
    const Tensor u = preconditioner.apply(m, x, at);
    const double scale = norm(x), length = norm(u);
    report.gain = length / scale;
    report.initial_gain = norm(preconditioner.apply(preconditioner.initial(), x, at)) / scale;
    // The part of u across x, not the cosine, whose rounding hides angles below 0.02 degrees.
    const double along = dot(x, u) / scale;
    const Tensor across = u - x * (along / scale);
    report.angle_degrees = std::atan2(norm(across), along) * 180 / std::numbers::pi;
  }
  return report;
}

}  // namespace gradus::optim
