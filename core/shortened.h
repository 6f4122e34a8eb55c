// What stands in files, as messages show it. Not public.
#pragma once

#include <string>
#include <string_view>

namespace gradus {

/// At most `most` bytes: where the text is longer, its middle is left out. (An Error keeps control characters away.)
inline std::string shortened(std::string_view text, size_t most = 80) {
  constexpr std::string_view gap = "...";
  if (text.size() <= most) return std::string(text);
  const auto inside_character = [&](size_t at) { return at < text.size() && (text[at] & 0xc0) == 0x80; };  // of UTF-8
  size_t begin = (most - gap.size()) * 3 / 4, end = text.size() - (most - gap.size() - begin);
  for (int i = 0; i < 3 && inside_character(begin); ++i) --begin;
  for (int i = 0; i < 3 && inside_character(end); ++i) ++end;
  return std::string(text.substr(0, begin)).append(gap).append(text.substr(end));
}

}  // namespace gradus
