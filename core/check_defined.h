// The check that a tensor is there, in one wording, for the operations and layers of every folder.
#pragma once

#include "core/tensor.h"

namespace gradus::check {

/// The throwing half, out of line so that a passing check costs a comparison.
[[noreturn]] void fail_undefined(const char* op, const char* role);

/// `role` is a noun phrase such as "the bias".
inline void defined(const char* op, const Tensor& x, const char* role = "the input") {
  if (!x.defined()) [[unlikely]]
    fail_undefined(op, role);
}

}  // namespace gradus::check
