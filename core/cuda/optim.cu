// Kernels of optimizers. They compute in double and round what they store, as the reference does.
#include "core/cuda/element.h"
#include "core/cuda/walk.h"
#include "core/kernels.h"

namespace gradus::kernels {
namespace {

using namespace cuda;

struct AdamStep {
  Walk<4> walk;  // direction, g, m, v
  AdamSpec spec;
  const void* g;
  void *m, *v, *direction;
  DType type;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[4];
    walk.places(i, at);
    const auto x = load<double>(g, type, at[1]);
    store<double>(m, type, at[2], spec.beta1 * load<double>(m, type, at[2]) + (1 - spec.beta1) * x);
    store<double>(v, type, at[3], spec.beta2 * load<double>(v, type, at[3]) + (1 - spec.beta2) * x * x);
    const auto first = load<double>(m, type, at[2]), second = load<double>(v, type, at[3]);
    store<double>(direction, type, at[0],
                  (first / spec.correction1) / (std::sqrt(second / spec.correction2) + spec.eps));
  }
};

}  // namespace

void adam(const Tensor& g, const AdamSpec& spec, Tensor& m, Tensor& v, Tensor& direction) {
  const Walk<4> walk = walk_over(direction, g, m, v);
  for_each(walk.count, AdamStep{walk, spec, g.raw(), m.raw(), v.raw(), direction.raw(), g.dtype()});
}

}  // namespace gradus::kernels
