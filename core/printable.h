// What stands in files, as messages show it. Not public.
#pragma once

#include <string>
#include <string_view>

namespace gradus {

/// On one line of at most `most` bytes: control characters become '?', and where it is longer, the middle is left out.
inline std::string printable(std::string_view text, size_t most = 80) {
  constexpr std::string_view gap = "...";
  const auto inside_character = [&](size_t at) { return at < text.size() && (text[at] & 0xc0) == 0x80; };  // of UTF-8
  std::string out(text);
  if (text.size() > most) {
    size_t begin = (most - gap.size()) * 3 / 4, end = text.size() - (most - gap.size() - begin);
    for (int i = 0; i < 3 && inside_character(begin); ++i) --begin;
    for (int i = 0; i < 3 && inside_character(end); ++i) ++end;
    out = std::string(text.substr(0, begin)).append(gap).append(text.substr(end));
  }
  for (char& c : out)
    if ((c >= 0 && c < ' ') || c == 0x7f) c = '?';
  return out;
}

}  // namespace gradus
