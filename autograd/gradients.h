// Recorded operations that are only gradients of others, shared by the files of this directory. Not public.
#pragma once

#include "autograd/ops.h"
#include "autograd/record.h"

namespace gradus {

/// The rule of a function of each element, y = f(x), from multiplication with f'(x) and with f''(x).
template <class Slope, class Bend>
void elementwise(const Var& gy, Inputs in, Curvature h, const Slope& slope, const Bend& bend) {
  in[0] = slope(gy);
  if (!h) return;
  h[0] = slope(slope(h.y()));
  if (h.bends()) h[0] = h[0] + bend(gy);
}

/// gy where the result y of a relu is positive, else 0. Linear in gy, and so its own gradient; y counts as a constant.
Var relu_grad(const Var& gy, const Var& y);

/// matmul() of operands that may be float32 and bfloat16, with the result in `dtype`: see core/ops.h.
Var product(const Var& a, const Var& b, DType dtype);

/// Gradient of slice(): a tensor of `shape` that holds gy at begin, begin + step, ... before end along dim and zeros
/// elsewhere. Its own gradient is the slice.
Var slice_grad(const Var& gy, const Shape& shape, int64_t dim, int64_t begin, int64_t end, int64_t step);

/// Throws unless the logits are [N, K] and the labels [N], int64, in [0, K).
void check_labels(const char* op, const Var& logits, const Tensor& labels);

/// A batch's losses as its loss, and how much of that loss's gradient each of them takes.
Tensor reduced(const Tensor& losses, Reduction reduction);
double share(const Tensor& losses, Reduction reduction);

/// `shape` with the reduced dimensions (all, where dims is empty) of extent 1.
Shape kept_shape(const Shape& shape, const Dims& dims);

/// gy, the gradient of a reduction over dims with or without kept dimensions, as a view of the shape before it.
Var expand_reduced(const Var& gy, const Shape& shape, const Dims& dims);

}  // namespace gradus
