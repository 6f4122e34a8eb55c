// Asks the programs for which files are written what they find in them.
#pragma once

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

namespace gradus {

/// The first Python of $GRADUS_PYTHON (a list separated by colons), python3 and /usr/bin/python3 that imports `modules`
/// ("numpy, torch"); empty, with a message, where none does.
inline std::string python_with(const std::string& modules) {
  const char* given = std::getenv("GRADUS_PYTHON");
  std::istringstream list((given != nullptr ? std::string(given) + ":" : std::string()) + "python3:/usr/bin/python3");
  for (std::string python; std::getline(list, python, ':');)
    if (std::system((python + " -c 'import " + modules + "' >/dev/null 2>&1").c_str()) == 0) return python;
  MESSAGE("skipped: no Python of $GRADUS_PYTHON, python3 and /usr/bin/python3 imports " << modules);
  return {};
}

/// What tests/read_back.py prints for `arguments`.
inline nlohmann::json read_back(const std::string& python, const std::string& arguments) {
  const char* root = std::getenv("GRADUS_SOURCE_ROOT");
  const std::string script = std::string(root != nullptr ? root : ".") + "/tests/read_back.py ";
  std::FILE* pipe = popen((python + " " + script + arguments).c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string text;
  for (int c; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
  REQUIRE(pclose(pipe) == 0);
  return nlohmann::json::parse(text);
}

}  // namespace gradus
