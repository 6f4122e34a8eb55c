// What tests of gradients' values are written with.
#pragma once

#include <vector>

#include "autograd/ops.h"

namespace gradus::testing {

using Values = std::vector<double>;

/// A float64 leaf with these values; one-dimensional unless a shape is given.
inline Var leaf(const Values& values, const Shape& shape) { return Var::leaf(Tensor::from(values, shape)); }
inline Var leaf(const Values& values) { return leaf(values, {static_cast<int64_t>(values.size())}); }
/// A float64 leaf that holds 0, 1, 2, ...
inline Var counting(const Shape& shape) {
  return Var::leaf(reshape(Tensor::arange(numel(shape), DType::float64), shape));
}

/// d sum(y) / d x
inline Values slopes(const Var& y, const Var& x) {
  return cast(grad(sum(y), x, {.retain_graph = true}).value(), DType::float64).to_vector<double>();
}

}  // namespace gradus::testing
