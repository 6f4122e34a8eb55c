// Kernels that have no faster form here: the reference's.
#include "core/kernels.h"

namespace gradus::kernels {

void random_uniform(const RandomKey& key, double low, double high, Tensor& out) {
  ref::random_uniform(key, low, high, out);
}
void random_normal(const RandomKey& key, double mean, double std, Tensor& out) {
  ref::random_normal(key, mean, std, out);
}
void argmax(const Tensor& x, int dim, Tensor& out) { ref::argmax(x, dim, out); }
void gather(const Tensor& x, int dim, const Tensor& index, Tensor& out) { ref::gather(x, dim, index, out); }
void scatter_add(int dim, const Tensor& index, const Tensor& source, Tensor& out) {
  ref::scatter_add(dim, index, source, out);
}
void pick_images(const Tensor& pixels, const Tensor& numbers, const Tensor& table, const RandomCrop& crop,
                 Tensor& out) {
  ref::pick_images(pixels, numbers, table, crop, out);
}

}  // namespace gradus::kernels
