#include "apps/reproduce/choices.h"

#include "apps/reproduce/report.h"

namespace gradus::reproduce {

void Choices::add(const std::string& method, double chosen, std::span<const double> grid) {
  if (grid.size() < 2) return;
  any_ = true;
  const bool smallest = chosen <= grid.front();
  if (!smallest && chosen < grid.back()) return;
  at_edge_ += (at_edge_.empty() ? "" : ", ") + method + " (" + scientific(chosen) +
              (smallest ? ", the smallest)" : ", the largest)");
}

std::string Choices::text() const {
  if (!any_) return "";
  if (at_edge_.empty()) return "No best value is at the edge of those tried.";
  return "At the edge of the values tried, so that a better one may lie beyond: " + at_edge_ + ".";
}

}  // namespace gradus::reproduce
