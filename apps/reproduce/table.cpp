#include "apps/reproduce/table.h"

#include <algorithm>

namespace gradus::reproduce {

std::string Table::aligned(bool bars) const {
  std::vector<size_t> widths;
  for (size_t column = 0; column < header.size(); ++column) {
    widths.push_back(header[column].size());
    for (const auto& row : rows) widths.back() = std::max(widths.back(), row[column].size());
  }
  std::string text;
  const auto add_line = [&](const auto& cell, char fill) {
    for (size_t column = 0; column < widths.size(); ++column) {
      std::string padded = cell(column);
      padded.resize(widths[column], fill);
      text += bars ? "| " + padded + " " : (column ? "  " : "") + padded;
    }
    if (bars) text += "|";
    while (text.ends_with(' ')) text.pop_back();
    text += "\n";
  };
  add_line([&](size_t column) { return header[column]; }, ' ');
  add_line([&](size_t) { return std::string("-"); }, '-');
  for (const auto& row : rows) add_line([&](size_t column) { return row[column]; }, ' ');
  return text;
}

}  // namespace gradus::reproduce
