// The global norm and the factor that limits it.
#include "optim/clip.h"

#include <cmath>

#include "core/ops.h"

namespace gradus::optim {

double global_norm(std::span<const Tensor> gradients) {
  double squares = 0;
  for (const Tensor& g : gradients)
    if (g.defined()) squares += dot(g, g);
  return std::sqrt(squares);
}

double clip_factor(double norm, double limit) { return norm <= limit ? 1 : std::min(1.0, limit / (norm + 1e-6)); }

}  // namespace gradus::optim
