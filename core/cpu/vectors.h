// One-dimensional parameters and statistics in float32, of any stride, as arrays. Private to core/cpu.
#pragma once

#include <vector>

#include "core/tensor.h"

namespace gradus::cpu {

inline const float* floats(const Tensor& x) { return static_cast<const float*>(x.raw()); }
inline float* mutable_floats(const Tensor& x) { return static_cast<float*>(x.raw()); }

/// A vector's elements, or `otherwise` n times where it is undefined.
inline std::vector<float> elements_or(const Tensor& x, int64_t n, float otherwise) {
  std::vector<float> values(static_cast<size_t>(n), otherwise);
  if (!x.defined()) return values;
  for (int64_t i = 0; i < n; ++i) values[static_cast<size_t>(i)] = floats(x)[i * x.strides()[0]];
  return values;
}

inline void store(const std::vector<double>& values, Tensor& out) {
  for (size_t i = 0; i < values.size(); ++i)
    mutable_floats(out)[static_cast<int64_t>(i) * out.strides()[0]] = static_cast<float>(values[i]);
}

}  // namespace gradus::cpu
