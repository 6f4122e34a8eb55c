#include "apps/common/suggestion.h"

#include <algorithm>
#include <cctype>

namespace gradus::apps {
namespace {

std::string plain(std::string_view word) {
  std::string out(word);
  for (char& c : out) c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

/// Insertions, deletions, substitutions and swaps of neighbors that make one of the other.
size_t edit_distance(const std::string& a, const std::string& b) {
  // Rows of the table of distances between beginnings of a, of i - 2, i - 1 and i letters, and those of b.
  std::vector<size_t> two_before(b.size() + 1), before(b.size() + 1), now(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) now[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    two_before.swap(before);
    before.swap(now);
    now[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      now[j] = std::min({before[j] + 1, now[j - 1] + 1, before[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = std::min(now[j], two_before[j - 2] + 1);
    }
  }
  return now.back();
}

}  // namespace

std::string closest(std::string_view word, const std::vector<std::string>& known) {
  constexpr size_t longest = 64;  // nobody mistypes more, and the distance takes the square of it
  if (word.size() > longest) return "";
  const std::string typed = plain(word);
  size_t least = typed.size() <= 4 ? 2 : 3;  // at most one less
  std::string nearest;
  for (const std::string& candidate : known) {
    const size_t distance = edit_distance(typed, plain(candidate));
    if (distance > least || distance >= candidate.size()) continue;
    if (distance == least)
      nearest.clear();
    else
      nearest = candidate;
    least = distance;
  }
  return nearest;
}

}  // namespace gradus::apps
