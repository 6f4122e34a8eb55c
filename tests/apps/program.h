// Runs a program of the build folder and takes what it prints, its exit code, and signals.
#pragma once

#include <string>
#include <vector>

namespace gradus {

/// A started program; waits for it, or ends it, when it goes out of scope.
class Program {
 public:
  /// `name` is a path inside the build folder, such as "apps/cifar10_train".
  Program(const std::string& name, std::vector<std::string> arguments);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  /// Reads standard output up to and including the next line; empty at its end.
  std::string next_line();
  /// Reads no more of it: what it prints from now on nobody takes.
  void close_output();
  void signal(int number);
  /// The processes that it has started and that have not ended.
  std::vector<int> children() const;

  struct Result {
    int exit_code = -1;  ///< -1 where a signal ended it
    std::string out, err;
  };
  /// Reads the rest of what it prints and waits for its end.
  Result finish();

 private:
  int process_ = -1, out_ = -1, err_file_ = -1;
};

inline Program::Result run_program(const std::string& name, std::vector<std::string> arguments) {
  return Program(name, std::move(arguments)).finish();
}

/// Makes a folder where a program replaces files now and then, until none is in the way.
void make_folder_at(const std::string& path);

/// Text split into its lines.
std::vector<std::string> lines_of(const std::string& text);

}  // namespace gradus
