// Recorded operations that are only gradients of others, shared by the files of this directory. Not public.
#pragma once

#include "autograd/ops.h"

namespace gradus {

/// gy where the result y of a relu is positive, else 0. Linear in gy, and so its own gradient; y counts as a constant.
Var relu_grad(const Var& gy, const Var& y);

/// Gradient of slice(): a tensor of `shape` that holds gy at begin, begin + step, ... before end along dim and zeros
/// elsewhere. Its own gradient is the slice.
Var slice_grad(const Var& gy, const Shape& shape, int64_t dim, int64_t begin, int64_t end, int64_t step);

/// `shape` with the reduced dimensions (all, where dims is empty) of extent 1.
Shape kept_shape(const Shape& shape, const Dims& dims);

/// gy, the gradient of a reduction over dims with or without kept dimensions, as a view of the shape before it.
Var expand_reduced(const Var& gy, const Shape& shape, const Dims& dims);

}  // namespace gradus
