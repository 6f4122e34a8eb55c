// A table of results: aligned for a terminal, Markdown and CSV for files.
#pragma once

#include <string>
#include <vector>

namespace gradus::reproduce {

/// Rows of text under a header; every row has as many cells as the header.
struct Table {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;

  /// Columns padded to equal width; Markdown where `bars`, with "\|" for a bar within a cell, plain otherwise. Ends
  /// with a newline.
  std::string aligned(bool bars) const;
  std::string markdown() const { return aligned(true); }
  std::string plain() const { return aligned(false); }
};

}  // namespace gradus::reproduce
