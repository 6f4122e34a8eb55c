// An experiment of the paper: a name, a title, and a function that runs it and shows the paper's values beside ours. To
// add one, write NAME.cpp with its description (runs, published values) and its reader, and list it in experiments.cpp.
#pragma once

#include <span>
#include <string>

namespace gradus::reproduce {

/// What the command line asked for.
struct Request {
  bool json = false;  ///< one JSON object per line and finished run on standard output, instead of a table
  std::string out;    ///< folder for results, or none: files go to OUT/NAME/
};

struct Experiment {
  const char* name;   ///< "figure_1"
  const char* title;  ///< one line for --list
  void (*run)(const Request&);
};

std::span<const Experiment> experiments();

void figure_1(const Request&);

}  // namespace gradus::reproduce
