// How far estimates of the Hessian's diagonal are from the exact one, in a perceptron and for single samples.
#pragma once

#include "apps/reproduce/outcome.h"
#include "layers/module.h"

namespace gradus::reproduce {

/// Those that are compared, HesScale first; "zero" estimates nothing, so that its error is the diagonal's own size.
inline constexpr const char* estimators[] = {"HesScale",  "HesScaleGN",   "BL89",          "GGN exact", "GGN-MC 1",
                                             "GGN-MC 50", "Hutchinson 1", "Hutchinson 50", "g^2",       "zero"};

/// Adds to each series "error ESTIMATOR" a row: step, one column per dense layer, "all". An error is the sum over the
/// layer's weights and biases of |estimate - exact|, as the mean over the samples, each a batch of its own.
void measure_curvature(Module& net, const Tensor& images, const Tensor& labels, uint64_t seed, double step,
                       Outcome& outcome);

}  // namespace gradus::reproduce
