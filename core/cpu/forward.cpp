// Kernels that have no faster form here: the reference's.
#include "core/kernels.h"

namespace gradus::kernels {

void pick_images(const Tensor& pixels, const Tensor& numbers, const Tensor& table, const RandomCrop& crop,
                 Tensor& out) {
  ref::pick_images(pixels, numbers, table, crop, out);
}

}  // namespace gradus::kernels
