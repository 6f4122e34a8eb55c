// Reference kernels of optimizers.
#include "core/kernels.h"
#include "core/ref/loops.h"

namespace gradus::ref {

void adam(const Tensor& g, const AdamSpec& spec, Tensor& m, Tensor& v, Tensor& out) {
  visit_floating("adam", g.dtype(), [&]<class T>(T) {
    const T* gradient = pointer<T>(g);
    T *first = pointer<T>(m), *second = pointer<T>(v), *to = pointer<T>(out);
    for_each_element<4>(g.shape(), {g.strides(), m.strides(), v.strides(), out.strides()}, [&](const Offsets<4>& at) {
      const double x = gradient[at[0]];
      first[at[1]] = static_cast<T>(spec.beta1 * first[at[1]] + (1 - spec.beta1) * x);
      second[at[2]] = static_cast<T>(spec.beta2 * second[at[2]] + (1 - spec.beta2) * x * x);
      to[at[3]] =
          static_cast<T>((first[at[1]] / spec.correction1) / (std::sqrt(second[at[2]] / spec.correction2) + spec.eps));
    });
  });
}

}  // namespace gradus::ref
