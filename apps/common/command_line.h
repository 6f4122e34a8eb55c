// What the main function of every program shares: reading the command line, and how it ends. Exit codes are 0 for done,
// 1 for work that failed, 2 for bad usage, 130 after Ctrl-C; a failure prints one line on standard error.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace gradus::apps {

/// Thrown for a command line whose flags are each fine but do not go together.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Parses the command line into `app`'s options, completes them where there is a --resume among them (resume.h), and
/// calls `work`; returns the exit code.
int run(CLI::App& app, int argc, char** argv, const std::function<int()>& work);

/// Writes a line to standard output at once. Throws ErrorKind::io where that cannot be written.
void print_line(const std::string& line);
/// Writes "NAME: line" to standard error, NAME being the program's.
void note(const std::string& line);

/// Finite numbers from `low` on; `above` leaves out `low` itself.
CLI::Validator at_least(double low);
CLI::Validator above(double low);
/// Finite numbers of [low, high).
CLI::Validator within(double low, double high);
/// Epochs in ascending order, each at least 1: "80,120"; "none" for an empty list.
CLI::Validator epoch_list();
std::vector<int64_t> parse_epoch_list(const std::string& text);

}  // namespace gradus::apps
