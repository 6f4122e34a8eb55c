// Which value of a grid was the best for each method of a table, and whether the grid reached far enough to tell.
#pragma once

#include <span>
#include <string>

namespace gradus::reproduce {

class Choices {
 public:
  /// `chosen` of `grid`, which ascends, was the best for `method`. A grid of one value tells nothing and is left out.
  void add(const std::string& method, double chosen, std::span<const double> grid);
  /// A sentence for the note: the methods whose best is the first or the last of its grid, or that there are none.
  /// Empty where nothing was chosen.
  std::string text() const;

 private:
  bool any_ = false;
  std::string at_edge_;
};

}  // namespace gradus::reproduce
