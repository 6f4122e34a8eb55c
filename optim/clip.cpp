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

double clip_factor(double norm, double limit) {
  const double factor = limit / (norm + 1e-6);
  return factor >= 1 ? 1 : factor;  // a norm that is not a number gives such a factor, and is not hidden
}

}  // namespace gradus::optim
