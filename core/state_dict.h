// Tensors by name: what models and optimizers save, and the strict comparison that loading begins with.
#pragma once

#include <map>
#include <string>

#include "core/tensor.h"

namespace gradus {

using StateDict = std::map<std::string, Tensor>;

/// A copy that shares no memory with what it was made from: to keep the state of a model or an optimizer as it is now.
StateDict clone(const StateDict& state);

/// Throws one ErrorKind::value that lists every name that is missing from `given`, unexpected in it, or of another
/// shape or dtype than in `own`. `owner` is a noun for the message: "the model".
void check_same_state(const char* owner, const StateDict& own, const StateDict& given);

}  // namespace gradus
