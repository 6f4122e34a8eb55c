// The difference of two sets of named tensors, in one message.
#include "core/state_dict.h"

#include <vector>

#include "core/error.h"

namespace gradus {
namespace {

std::string listed(const char* what, const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? std::string("; ") + what + ": " : ", ") + name;
  return text;
}

}  // namespace

void check_same_state(const char* owner, const StateDict& own, const StateDict& given) {
  std::vector<std::string> missing, unexpected, different;
  for (const auto& [name, tensor] : own) {
    const auto found = given.find(name);
    if (found == given.end())
      missing.push_back(name);
    else if (!(found->second.shape() == tensor.shape()) || found->second.dtype() != tensor.dtype())
      different.push_back(text(name, " is ", found->second.dtype(), " ", found->second.shape(), ", expected ",
                               tensor.dtype(), " ", tensor.shape()));
  }
  for (const auto& [name, tensor] : given)
    if (!own.contains(name)) unexpected.push_back(name);
  if (!missing.empty() || !unexpected.empty() || !different.empty())
    fail(ErrorKind::value, "load", "the state does not fit ", owner, listed("missing", missing),
         listed("unexpected", unexpected), listed("different", different));
}

}  // namespace gradus
