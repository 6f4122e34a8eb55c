// The difference of two sets of named tensors, as lists and in one message.
#include "core/state_dict.h"

#include <algorithm>

#include "core/error.h"
#include "core/joined.h"
#include "core/ops.h"
#include "core/shortened.h"

namespace gradus {
namespace {

std::string description_of(const Tensor& tensor) {
  return tensor.defined() ? text(tensor.dtype(), " ", tensor.shape()) : "an undefined tensor";
}

}  // namespace

StateDict clone(const StateDict& state) {
  StateDict copy;
  for (const auto& [name, tensor] : state) copy.emplace(name, tensor.defined() ? clone(tensor) : Tensor());
  return copy;
}

StateDict under(const StateDict& state, const std::string& prefix) {
  StateDict part;
  for (const auto& [name, tensor] : state)
    if (name.starts_with(prefix + "/")) part.emplace(name.substr(prefix.size() + 1), tensor);
  return part;
}

StateDifference state_difference(const StateDict& own, const StateDict& given) {
  StateDifference all;
  for (const auto& [name, tensor] : own) {
    const auto found = given.find(name);
    if (found == given.end()) {
      all.missing.push_back(name);
      continue;
    }
    const Tensor& came = found->second;
    if (!came.defined() || came.shape() != tensor.shape() || came.dtype() != tensor.dtype())
      all.different.push_back({name, description_of(came), description_of(tensor)});
  }
  for (const auto& [name, tensor] : given)
    if (!own.contains(name)) all.unexpected.push_back(name);
  return all;
}

std::string to_string(const StateDifference& difference) {
  std::string line;
  const auto list = [&line](const char* what, const auto& items, const auto& of) {
    if (!items.empty()) line += text(line.empty() ? "" : "; ", what, ": ", joined(items, of));
  };
  const auto name = [](const std::string& full) { return shortened(full); };
  list("missing", difference.missing, name);
  list("unexpected", difference.unexpected, name);
  list("different", difference.different, [](const StateDifference::Tensors& tensors) {
    return text(shortened(tensors.name), " is ", tensors.given, ", expected ", tensors.expected);
  });
  return line;
}

void check_same_state(const char* owner, const StateDict& own, const StateDict& given, const char* remedy) {
  const StateDifference all = state_difference(own, given);
  if (all.empty()) return;
  const bool other_dtype = std::any_of(all.different.begin(), all.different.end(), [&](const auto& tensors) {
    const Tensor& came = given.at(tensors.name);
    return came.defined() && came.dtype() != own.at(tensors.name).dtype();
  });
  fail(ErrorKind::value, "load", "the state does not fit ", owner, "; ", to_string(all),
       other_dtype ? ". Convert dtypes with cast()" : "", remedy);
}

}  // namespace gradus
