// Predicates over ParamInfo: they choose which parameters a group, a decay or a preconditioner is for.
#pragma once

#include <functional>

#include "autograd/parameter.h"

namespace gradus::optim {

using Predicate = std::function<bool(const ParamInfo&)>;

inline bool every_parameter(const ParamInfo&) { return true; }
/// Weights of linear and convolution layers, and of embeddings and other layers that call them so; no bias, no scale.
inline bool is_weight(const ParamInfo& info) { return info.role == ParamRole::weight; }
inline bool is_bias(const ParamInfo& info) { return info.role == ParamRole::bias; }
/// Full names that begin with `prefix`: named("fc.") for a layer called fc.
inline Predicate named(std::string prefix) {
  return [prefix = std::move(prefix)](const ParamInfo& info) { return info.name.starts_with(prefix); };
}

}  // namespace gradus::optim
