// What a preconditioner need not say.
#include "optim/preconditioner.h"

#include "core/linalg.h"

namespace gradus::optim {

Tensor Preconditioner::gradient_of_rows(const Tensor&, const Tensor&, const StepInfo&) const { return {}; }

Tensor Preconditioner::matrix(const Tensor&, const StepInfo&) const { return {}; }

Tensor Preconditioner::eigenvalues(const Tensor& m, const StepInfo& at) const {
  const Tensor p = matrix(m, at);
  return p.defined() ? symmetric_eigenvalues(p) : Tensor();
}

}  // namespace gradus::optim
