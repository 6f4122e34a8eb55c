#include "apps/reproduce/table.h"

#include <algorithm>

namespace gradus::reproduce {

namespace {

// Of UTF-8 text: bytes that go on with a character do not count.
size_t width(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

// A bar would end the cell.
std::string without_bars(const std::string& cell) {
  std::string out;
  for (char c : cell) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

}  // namespace

std::string Table::aligned(bool bars) const {
  const auto shown = [&](const std::string& cell) { return bars ? without_bars(cell) : cell; };
  std::vector<size_t> widths;
  for (size_t column = 0; column < header.size(); ++column) {
    widths.push_back(width(shown(header[column])));
    for (const auto& row : rows) widths.back() = std::max(widths.back(), width(shown(row[column])));
  }
  std::string text;
  const auto add_line = [&](const auto& cell, char fill) {
    for (size_t column = 0; column < widths.size(); ++column) {
      std::string padded = cell(column);
      padded.append(widths[column] - std::min(widths[column], width(padded)), fill);
      text += bars ? "| " + padded + " " : (column ? "  " : "") + padded;
    }
    if (bars) text += "|";
    while (text.ends_with(' ')) text.pop_back();
    text += "\n";
  };
  add_line([&](size_t column) { return shown(header[column]); }, ' ');
  add_line([&](size_t) { return std::string("-"); }, '-');
  for (const auto& row : rows) add_line([&](size_t column) { return shown(row[column]); }, ' ');
  return text;
}

}  // namespace gradus::reproduce
