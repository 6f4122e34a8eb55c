// What the main function of every program shares: reading the command line, and how it ends. Exit codes are 0 for done,
// 1 for work that failed, 2 for bad usage, 130 after Ctrl-C; a failure prints one line on standard error.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/error.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace gradus::apps {

/// Thrown for a command line whose flags are each fine but do not go together.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Standard output does not take what is printed: it is closed, as by `| head`, or its disk is full.
struct OutputError : Error {
  using Error::Error;
};

/// What `read` makes of the flags; an Error of it is about the command line, and becomes a UsageError.
auto from_flags(const auto& read) {
  try {
    return read();
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
}

/// Which values a flag takes.
struct Check {
  std::function<std::string(const std::string& text)> reason = {};  ///< why not this one; empty where it is taken
  std::vector<std::string> words = {};                              ///< or: one of these
  bool one_each = false;  ///< of a list: what follows the flag's first value is not the flag's
};
Check one_of(std::vector<std::string> words);
/// Of a list: a value each time that the flag is given, so that positions may follow it.
Check one_each();
/// Finite numbers from `low` on; `above` leaves out `low` itself.
Check at_least(double low);
Check above(double low);
/// Finite numbers of [low, high).
Check within(double low, double high);
/// Finite numbers of [low, high].
Check inside(double low, double high);
Check between(int64_t low, int64_t high);
/// 0 to 1024.
Check thread_count();
/// Sets the number of threads that --threads names, with a note where there are fewer cores; 0 leaves the default.
void use_threads(int64_t threads);
/// Pixels along a side of a picture, from `low` to 16384: what is computed from them fits any integer.
Check side(int64_t low);
/// Epochs in ascending order, each at least 1: "80,120"; "none" for an empty list.
Check epoch_list();
std::vector<int64_t> parse_epoch_list(const std::string& text);

/// The flags of a program, or of one of its commands: each is read into a variable, whose value when it is added is the
/// default that --help shows. Of a flag that is given twice the last counts; lists take everything, and words of a
/// one_of() with commas between them too. Names without dashes are positions. An empty value is bad usage, and so is a
/// whole number that its variable cannot hold; where a flag or one of few words is mistyped, the line says what it may
/// have been meant for.
class CommandLine {
 public:
  /// What the program does and examples are for --help; `program` is its name there where it is not the file's.
  CommandLine(const std::string& what, const std::string& examples, const std::string& program = "");
  ~CommandLine();

  /// The heading of the flags that follow.
  void group(const std::string& heading) { group_ = heading; }
  void add(const std::string& name, bool& value, const std::string& help);  ///< true where the flag is given
  void add(const std::string& name, std::string& value, const std::string& help, const Check& check = {});
  void add(const std::string& name, int64_t& value, const std::string& help, const Check& check = {});
  void add(const std::string& name, uint64_t& value, const std::string& help, const Check& check = {});
  void add(const std::string& name, double& value, const std::string& help, const Check& check = {});
  void add(const std::string& name, std::optional<std::string>& value, const std::string& help,
           const Check& check = {});
  void add(const std::string& name, std::optional<int64_t>& value, const std::string& help, const Check& check = {});
  void add(const std::string& name, std::optional<double>& value, const std::string& help, const Check& check = {});
  void add(const std::string& name, std::vector<std::string>& value, const std::string& help, const Check& check = {});
  void add(const std::string& name, std::vector<uint64_t>& value, const std::string& help, const Check& check = {});
  /// For what cannot be left out.
  void add_required(const std::string& name, std::string& value, const std::string& help);

  /// A command with flags of its own: "bench conv". At most one is given.
  CommandLine& add_command(const std::string& name, const std::string& what, const std::string& examples = "");
  /// One of the commands must be given.
  void require_command();

  // When run() has read it:
  /// Whether the flag was on the command line, or came from a run that is resumed.
  bool given(const std::string& flag) const;
  /// Of a command: whether it is the one that was given.
  bool chosen() const;
  std::string program() const;

  struct Flag {
    std::string name;                  ///< without dashes
    std::optional<std::string> given;  ///< the last value
  };
  std::vector<Flag> flags() const;
  /// As if the flag had been given.
  void give(const std::string& name, const std::string& value);

 private:
  friend int run(CommandLine& line, int argc, char** argv, const std::function<int()>& work);
  explicit CommandLine(CLI::App* command);
  void refuse_unknown_command(int argc, char** argv) const;
  template <class T>
  CLI::Option* add_option(const std::string& name, T& value, const std::string& help, const Check& check);

  std::unique_ptr<CLI::App> own_;  ///< of a program
  CLI::App* app_;
  std::vector<std::unique_ptr<CommandLine>> commands_;
  std::string group_ = "Options";
};

/// Parses the command line into its variables, completes them where there is a --resume among the flags (resume.h), and
/// calls `work`; returns the exit code.
int run(CommandLine& line, int argc, char** argv, const std::function<int()>& work);

/// Writes a line to standard output at once. Throws OutputError, ErrorKind::io, where that cannot be written.
void print_line(const std::string& line);
/// Writes "NAME: line" to standard error, NAME being the program's.
void note(const std::string& line);

}  // namespace gradus::apps
