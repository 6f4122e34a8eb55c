// Tensors by name: what models and optimizers save, and the comparison that loading begins with.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace gradus {

using StateDict = std::map<std::string, Tensor>;

/// A copy that shares no memory with what it was made from: to keep the state of a model or an optimizer as it is now.
StateDict clone(const StateDict& state);

/// Those whose names begin with "prefix/", without it.
StateDict under(const StateDict& state, const std::string& prefix);

/// In what a given state differs from one's own, in the order of the names.
struct StateDifference {
  struct Tensors {
    std::string name, given, expected;  ///< "fc.weight", "float32 [1000,512]", "float32 [5,512]"
  };
  std::vector<std::string> missing, unexpected;
  std::vector<Tensors> different;  ///< in shape or dtype

  bool empty() const { return missing.empty() && unexpected.empty() && different.empty(); }
};

StateDifference state_difference(const StateDict& own, const StateDict& given);
/// One line: "missing: a, b; unexpected: c; different: d is float32 [5], expected float32 [4]"; "" where it is empty.
std::string to_string(const StateDifference& difference);

/// Throws one ErrorKind::value that lists every name that is missing from `given`, unexpected in it, or of another
/// shape or dtype than in `own`. `owner` is a noun for the message: "the model"; `remedy` ends it.
void check_same_state(const char* owner, const StateDict& own, const StateDict& given, const char* remedy = "");

}  // namespace gradus
