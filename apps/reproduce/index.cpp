// One page that shows all results: it names its pictures relative to itself, and opens from disk.
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <sstream>
#include <string_view>

#include "apps/reproduce/report.h"
#include "core/error.h"
#include "core/file.h"

namespace gradus::reproduce {
namespace {

namespace fs = std::filesystem;

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text)
    out += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : std::string(1, c);
  return out;
}

/// The cells of a line "| a | b |"; "\|" is a bar within one.
std::string row_of(const std::string& line, const char* tag) {
  std::string html = "<tr>", cell;
  for (size_t i = 1; i < line.size(); ++i) {
    if (line[i] == '|') {
      html += text("<", tag, ">", escaped(cell), "</", tag, ">");
      cell.clear();
    } else {
      if (line.substr(i, 2) == "\\|") ++i;
      cell += line[i];
    }
  }
  return html + "</tr>\n";
}

/// A path as a link has it: what would end it or mean something else there, by number.
std::string link_of(const std::string& path) {
  std::string out;
  for (char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = std::isalnum(byte) || std::string_view("-._~/").find(c) != std::string_view::npos;
    char number[4];
    std::snprintf(number, sizeof number, "%%%02X", static_cast<unsigned>(byte));
    out += plain ? std::string(1, c) : number;
  }
  return out;
}

// The part of Markdown that table.md is made of: a heading, tables, paragraphs.
std::string html_of(const std::string& markdown) {
  std::string html, line;
  std::istringstream in(markdown);
  bool in_table = false;
  while (std::getline(in, line)) {
    const bool row = line.starts_with("|");
    if (row && !in_table) html += "<table>\n" + row_of(line, "th");
    if (row && in_table && !line.starts_with("| -") && !line.starts_with("|-")) html += row_of(line, "td");
    if (!row && in_table) html += "</table>\n";
    if (line.starts_with("# "))
      html += "<h2>" + escaped(line.substr(2)) + "</h2>\n";
    else if (!row && !line.empty())
      html += "<p>" + escaped(line) + "</p>\n";
    in_table = row;
  }
  return html + (in_table ? "</table>\n" : "");
}

}  // namespace

void write_index(const std::string& out) {
  std::vector<fs::path> folders;
  for (const fs::directory_entry& entry : fs::directory_iterator(out))
    if (fs::exists(entry.path() / "table.md")) folders.push_back(entry.path());
  std::sort(folders.begin(), folders.end());
  std::string html =
      "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>gradus: results</title>\n<style>\n"
      "body { font-family: sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em }\n"
      "table { border-collapse: collapse }\nth, td { border: 1px solid #ccc; padding: 0.2em 0.6em; text-align: left }\n"
      "img { max-width: 100% }\n</style>\n"
      "<h1>First-Order Preconditioning via Hypergradient Descent: published and measured</h1>\n";
  for (const fs::path& folder : folders) {
    const std::string name = folder.filename().string();
    html += html_of(read_file((folder / "table.md").string()));
    std::vector<std::string> pictures, files;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      const std::string file = entry.path().filename().string();
      (file.ends_with(".svg") ? pictures : files).push_back(name + "/" + file);
    }
    std::sort(pictures.begin(), pictures.end());
    std::sort(files.begin(), files.end());
    for (const std::string& picture : pictures)
      html += "<p><img src=\"" + link_of(picture) + "\" alt=\"" + escaped(picture) + "\"></p>\n";
    html += "<p>";
    for (const std::string& file : files)
      html += "<a href=\"" + link_of(file) + "\">" + escaped(fs::path(file).filename().string()) + "</a> ";
    html += "</p>\n";
  }
  write_file_atomically(out + "/index.html", html);
}

}  // namespace gradus::reproduce
