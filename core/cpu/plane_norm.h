// Batch norm of row-major images, whose channels are rows of pixels: no copy in another order. Private to core/cpu.
#pragma once

#include "core/tensor.h"

namespace gradus::cpu {

/// Whether x [N, C, ...] is row-major with planes long enough to be worth a call each.
bool has_planes(const Tensor& x);

// The kernels of the same name, for x that has planes.
void batch_norm_train_planes(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y,
                             Tensor& mean, Tensor& rstd);
void batch_norm_apply_planes(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean,
                             const Tensor& rstd, Tensor& y);
void batch_norm_backward_planes(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                                const Tensor& rstd, Tensor& gx, Tensor& gweight, Tensor& gbias);

}  // namespace gradus::cpu
