// Operations of optimizers that are one kernel instead of many.
#include "core/error.h"
#include "core/ops.h"
#include "core/ops_check.h"

namespace gradus {

Tensor adam_(const Tensor& g, const AdamSpec& spec, Tensor& m, Tensor& v) {
  check::floating("adam_", g);
  for (Tensor* moment : {&m, &v}) {
    check::shape("adam_", "a moment", *moment, g.shape());
    check::same_dtype("adam_", g, *moment);
    check::writable("adam_", *moment);
  }
  Tensor direction = Tensor::empty_like(m);
  kernels::adam(g, spec, m, v, direction);
  m.bump_version();
  v.bump_version();
  return direction;
}

}  // namespace gradus
