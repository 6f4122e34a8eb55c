// Kernels that have no faster form here: the reference's.
#include "core/kernels.h"

namespace gradus::kernels {

void random_uniform(const RandomKey& key, double low, double high, Tensor& out) {
  ref::random_uniform(key, low, high, out);
}
void random_normal(const RandomKey& key, double mean, double std, Tensor& out) {
  ref::random_normal(key, mean, std, out);
}
void dropout(const RandomKey& key, double p, const Tensor& x, Tensor& out) { ref::dropout(key, p, x, out); }
void argmax(const Tensor& x, int dim, Tensor& out) { ref::argmax(x, dim, out); }
void gather(const Tensor& x, int dim, const Tensor& index, Tensor& out) { ref::gather(x, dim, index, out); }
void scatter_add(int dim, const Tensor& index, const Tensor& source, Tensor& out) {
  ref::scatter_add(dim, index, source, out);
}
void max_pool2d_forward(const Tensor& x, const Pool2dSpec& spec, Tensor& y, Tensor& index) {
  ref::max_pool2d_forward(x, spec, y, index);
}
void max_pool2d_scatter(const Tensor& gy, const Tensor& index, Tensor& gx) { ref::max_pool2d_scatter(gy, index, gx); }
void max_pool2d_gather(const Tensor& x, const Tensor& index, Tensor& y) { ref::max_pool2d_gather(x, index, y); }
void avg_pool2d_forward(const Tensor& x, const Pool2dSpec& spec, Tensor& y) { ref::avg_pool2d_forward(x, spec, y); }
void avg_pool2d_backward(const Tensor& gy, const Pool2dSpec& spec, Tensor& gx) {
  ref::avg_pool2d_backward(gy, spec, gx);
}
void batch_norm_train(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                      Tensor& rstd) {
  ref::batch_norm_train(x, weight, bias, eps, y, mean, rstd);
}
void batch_norm_apply(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& rstd,
                      Tensor& y) {
  ref::batch_norm_apply(x, weight, bias, mean, rstd, y);
}
void batch_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                         const Tensor& rstd, Tensor& gx, Tensor& gweight, Tensor& gbias) {
  ref::batch_norm_backward(gy, x, weight, mean, rstd, gx, gweight, gbias);
}
void layer_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                        Tensor& rstd) {
  ref::layer_norm_forward(x, weight, bias, eps, y, mean, rstd);
}
void layer_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                         const Tensor& rstd, Tensor& gx, Tensor& gweight, Tensor& gbias) {
  ref::layer_norm_backward(gy, x, weight, mean, rstd, gx, gweight, gbias);
}
void softmax(const Tensor& x, int dim, bool log, Tensor& y) { ref::softmax(x, dim, log, y); }
void softmax_backward(const Tensor& gy, const Tensor& y, int dim, bool log, Tensor& gx) {
  ref::softmax_backward(gy, y, dim, log, gx);
}

}  // namespace gradus::kernels
