// The difference of two sets of named tensors, in one message.
#include "core/state_dict.h"

#include <vector>

#include "core/error.h"
#include "core/joined.h"
#include "core/ops.h"
#include "core/shortened.h"

namespace gradus {
namespace {

std::string listed(const char* what, const std::vector<std::string>& names) {
  return names.empty() ? "" : text("; ", what, ": ", joined(names));
}

}  // namespace

StateDict clone(const StateDict& state) {
  StateDict copy;
  for (const auto& [name, tensor] : state) copy.emplace(name, tensor.defined() ? clone(tensor) : Tensor());
  return copy;
}

void check_same_state(const char* owner, const StateDict& own, const StateDict& given) {
  std::vector<std::string> missing, unexpected, different;
  const char* hint = "";
  for (const auto& [name, tensor] : own) {
    const auto found = given.find(name);
    if (found == given.end()) {
      missing.push_back(shortened(name));
      continue;
    }
    const Tensor& came = found->second;
    if (came.defined() && came.shape() == tensor.shape() && came.dtype() == tensor.dtype()) continue;
    different.push_back(text(shortened(name), " is ",
                             came.defined() ? text(came.dtype(), " ", came.shape()) : "an undefined tensor",
                             ", expected ", tensor.dtype(), " ", tensor.shape()));
    if (came.defined() && came.dtype() != tensor.dtype()) hint = ". Convert dtypes with cast()";
  }
  for (const auto& [name, tensor] : given)
    if (!own.contains(name)) unexpected.push_back(shortened(name));
  if (!missing.empty() || !unexpected.empty() || !different.empty())
    fail(ErrorKind::value, "load", "the state does not fit ", owner, listed("missing", missing),
         listed("unexpected", unexpected), listed("different", different), hint);
}

}  // namespace gradus
