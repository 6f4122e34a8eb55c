// Lists in one line of text, for messages and records. Not public.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "core/error.h"

namespace gradus {

/// "a, b, c": the items as text() shows them, or what `of` gives for each: a member, or a function's result.
template <class Items, class Of = std::identity>
std::string joined(const Items& items, Of of = {}, std::string_view separator = ", ") {
  std::string out;
  bool first = true;
  for (const auto& item : items) {
    out += text(first ? "" : separator, std::invoke(of, item));
    first = false;
  }
  return out;
}

}  // namespace gradus
