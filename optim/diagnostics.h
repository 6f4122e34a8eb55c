// What an optimizer can tell about its learned preconditioners.
#pragma once

#include <string>

#include "core/tensor.h"

namespace gradus::optim {

class Preconditioner;
struct StepInfo;

/// What diagnostics() works out. Matrices and spectra of P cost far more than a step where P is large.
enum class Diagnose { everything, without_spectra };
/// What stands for g in an angle and a gain: a tensor of ones, where gradients tell nothing as they are zero or not
/// finite.
enum class DiagnoseOn { gradient, ones };

/// One preconditioned parameter.
struct PreconditionerReport {
  std::string parameter;
  std::string preconditioner;  ///< "fop"
  /// Between g and P g, where g is the parameter's gradient or, where it has none, what P acted on last. Not a number
  /// where there was neither.
  double angle_degrees = 0;
  double gain = 0;          ///< |P g| / |g|; likewise
  double initial_gain = 0;  ///< the same, with the P that learning starts from
  double frobenius = 0;     ///< |P|_F; not a number without spectra, or where there are neither matrix nor eigenvalues
  Tensor matrix;       ///< P [n, n]; undefined where P is diagonal or low rank over many inputs, or without spectra
  Tensor eigenvalues;  ///< ascending, float64; undefined without spectra, and not numbers where m has inf or nan
  int64_t paper_parameters = 0;   ///< additional parameters as the paper counts them: 65 for All-CNN-C
  int64_t stored_parameters = 0;  ///< elements of the learned tensor: 569 for All-CNN-C
  int64_t state_bytes = 0;        ///< learned tensor, kept gradient, inner rule
};

/// What can be told of P(m) without the optimizer that learned m: a checkpoint's, for instance. Angle and gain are
/// those of `x`, which may be undefined. Names and state bytes stay empty.
PreconditionerReport report_on(const Preconditioner& preconditioner, const Tensor& m, const Tensor& x,
                               const StepInfo& at, Diagnose what = Diagnose::everything);

}  // namespace gradus::optim
