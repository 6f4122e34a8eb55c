// What somebody who mistyped a word may have meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gradus::apps {

/// The one of `known` that differs least from `word`, by at most two letters (one for words of up to four) that are
/// missing, too many, others or swapped with their neighbor; "" where none is so near, or several are equally near.
/// Upper and lower case are the same, and so are - and _.
std::string closest(std::string_view word, const std::vector<std::string>& known);

}  // namespace gradus::apps
