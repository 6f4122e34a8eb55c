// Small parameters in float64 for the tests of optimizers.
#pragma once

#include <initializer_list>
#include <vector>

#include "autograd/parameter.h"

namespace gradus::optim {

inline Tensor vec(std::initializer_list<double> values) {
  return Tensor::from<double>(values, {static_cast<int64_t>(values.size())});
}
inline Parameter parameter(const char* name, const Tensor& value, ParamRole role = ParamRole::weight) {
  return {value, {.name = name, .layer = LayerKind::linear, .role = role, .out = 1, .in = value.numel()}};
}
inline Parameter weight(const char* name, std::initializer_list<double> values) {
  const auto n = static_cast<int64_t>(values.size());
  return parameter(name, Tensor::from<double>(values, {1, n}));
}
inline std::vector<double> values(const Parameter& p) { return p.value().to_vector<double>(); }

}  // namespace gradus::optim
