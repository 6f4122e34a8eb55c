#include "apps/common/command_line.h"

#include <errno.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <limits>
#include <new>
#include <thread>
#include <type_traits>

#include "apps/common/interrupt.h"
#include "apps/common/record.h"
#include "apps/common/resume.h"
#include "apps/common/suggestion.h"
#include "core/error.h"
#include "core/joined.h"
#include "core/parallel.h"

namespace gradus::apps {
namespace {

std::string on_one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  for (char& c : text)
    if (c == '\n') c = ' ';
  return text;
}

template <class T>
bool parse_number(const std::string& text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(static_cast<double>(value));
}

Check number_check(const std::string& range, const std::function<bool(double)>& good) {
  return {.reason = [range, good](const std::string& text) {
    double value = 0;
    return parse_number(text, value) && good(value) ? "" : text + " is not a number " + range;
  }};
}

std::string did_you_mean(const std::string& known) { return known.empty() ? "" : "; did you mean " + known + "?"; }

CLI::Validator validator(const Check& check) {
  if (!check.words.empty()) {
    const CLI::Validator member = CLI::IsMember(check.words);
    return {[member, words = check.words](std::string& text) {
              const std::string reason = member(text);
              return reason.empty() ? reason : reason + did_you_mean(closest(text, words));
            },
            member.get_description()};
  }
  return {[reason = check.reason](std::string& text) { return reason(text); }, ""};
}

template <class T>
constexpr bool is_list = false;
template <class T>
constexpr bool is_list<std::vector<T>> = true;

/// What a variable of type T holds one of.
template <class T>
struct ItemOf {
  using type = T;
};
template <class T>
struct ItemOf<std::optional<T>> : ItemOf<T> {};
template <class T>
struct ItemOf<std::vector<T>> : ItemOf<T> {};

/// What other programs call some flags.
constexpr std::pair<const char*, const char*> other_names[] = {{"optimizer", "rule"},   {"learning-rate", "lr"},
                                                               {"batch-size", "batch"}, {"num-workers", "workers"},
                                                               {"wd", "weight-decay"},  {"output", "out"}};

/// What to say of the first of the words that nobody takes that looks like a flag; "" where none does.
std::string no_such_flag(const CLI::App& app, const std::vector<std::string>& rest) {
  const auto flag = std::find_if(rest.begin(), rest.end(),
                                 [](const std::string& word) { return word.size() > 2 && word.front() == '-'; });
  if (flag == rest.end()) return "";
  std::vector<std::string> names;
  const auto add_flags = [&](const CLI::App* command) {
    for (const CLI::Option* option : command->get_options())
      for (const std::string& name : option->get_lnames()) names.push_back(name);
  };
  add_flags(&app);
  for (const CLI::App* command : app.get_subcommands()) add_flags(command);
  const std::string typed = flag->substr(0, flag->find('='));
  const std::string word = typed.substr(std::min(typed.find_first_not_of('-'), typed.size()));
  std::string meant = closest(word, names);
  if (meant.empty()) {
    std::vector<std::string> others;
    for (const auto& [other, name] : other_names)
      if (std::find(names.begin(), names.end(), name) != names.end()) others.emplace_back(other);
    const std::string found = closest(word, others);
    for (const auto& [other, name] : other_names)
      if (found == other) meant = name;
  }
  return "there is no flag " + typed + did_you_mean(meant.empty() ? "" : "--" + meant);
}

/// CLI11 would round such a number, wrap it around or take the nearest one that there is.
template <class T>
Check whole_number(bool several) {
  return {.reason = [several](const std::string& text) {
    T value = 0;
    if (parse_number(text, value)) return std::string();
    const std::string why = text + " is not a whole number";
    if (text.find_first_not_of("0123456789", text.front() == '-' ? 1 : 0) == std::string::npos)
      return gradus::text(why, " from ", std::numeric_limits<T>::min(), " to ", std::numeric_limits<T>::max());
    return several ? why + ": between several stand blanks" : why;
  }};
}

}  // namespace

Check one_of(std::vector<std::string> words) { return {.words = std::move(words)}; }

Check one_each() { return {.one_each = true}; }

Check at_least(double low) {
  return number_check("of at least " + exact(low), [low](double value) { return value >= low; });
}

Check above(double low) {
  return number_check("above " + exact(low), [low](double value) { return value > low; });
}

Check within(double low, double high) {
  return number_check("from " + exact(low) + " to below " + exact(high),
                      [low, high](double value) { return value >= low && value < high; });
}

Check inside(double low, double high) {
  return number_check("from " + exact(low) + " to " + exact(high),
                      [low, high](double value) { return value >= low && value <= high; });
}

Check between(int64_t low, int64_t high) {
  return number_check(text("from ", low, " to ", high), [low, high](double value) {
    return value >= static_cast<double>(low) && value <= static_cast<double>(high);
  });
}

Check thread_count() {
  return number_check("of threads, from 0 to 1024", [](double value) { return value >= 0 && value <= 1024; });
}

void use_threads(int64_t threads) {
  if (threads <= 0) return;
  const unsigned cores = std::thread::hardware_concurrency();  // that this process may use; 0: nobody knows
  if (cores > 0 && threads > static_cast<int64_t>(cores))
    note(text("--threads ", threads, " is more than the ", cores, cores == 1 ? " core" : " cores",
              " here, which makes it slower"));
  set_num_threads(static_cast<int>(threads));
}

Check side(int64_t low) { return between(low, 16384); }

std::vector<int64_t> parse_epoch_list(const std::string& text) {
  std::vector<int64_t> epochs;
  if (text == "none") return epochs;
  const char *at = text.data(), *end = at + text.size();
  while (true) {
    int64_t epoch = 0;
    const auto [next, error] = std::from_chars(at, end, epoch);
    if (error != std::errc() || epoch <= (epochs.empty() ? 0 : epochs.back()) || (next != end && *next != ',')) {
      throw UsageError("'" + text + "' is not a list of ascending epochs such as 80 or 80,120, and not 'none'");
    }
    epochs.push_back(epoch);
    if (next == end) return epochs;
    at = next + 1;
  }
}

Check epoch_list() {
  return {.reason = [](const std::string& text) -> std::string {
    try {
      parse_epoch_list(text);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  }};
}

CommandLine::CommandLine(const std::string& what, const std::string& examples, const std::string& program)
    : own_(std::make_unique<CLI::App>(what, program)), app_(own_.get()) {
  app_->footer(examples);
}
CommandLine::CommandLine(CLI::App* command) : app_(command) {}
CommandLine::~CommandLine() = default;

template <class T>
CLI::Option* CommandLine::add_option(const std::string& name, T& value, const std::string& help, const Check& check) {
  CLI::Option* option = app_->add_option(name, value, help)->group(group_);
  if constexpr (is_list<T>)
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  else
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)->capture_default_str();
  if (is_list<T> && !check.words.empty()) option->delimiter(',');
  if (check.one_each) option->allow_extra_args(false);
  option->check(validator({.reason = [name](const std::string& text) -> std::string {
    if (text.empty()) throw UsageError(name + " is empty");
    return "";
  }}));
  using Item = typename ItemOf<T>::type;
  if constexpr (std::is_integral_v<Item>) option->check(validator(whole_number<Item>(is_list<T>)));
  if (check.reason || !check.words.empty()) option->check(validator(check));
  return option;
}

void CommandLine::add(const std::string& name, bool& value, const std::string& help) {
  app_->add_flag(name, value, help)->group(group_);
}
#define GRADUS_ADD(...)                                                                                             \
  void CommandLine::add(const std::string& name, __VA_ARGS__& value, const std::string& help, const Check& check) { \
    add_option(name, value, help, check);                                                                           \
  }
GRADUS_ADD(std::string)
GRADUS_ADD(int64_t)
GRADUS_ADD(uint64_t)
GRADUS_ADD(double)
GRADUS_ADD(std::optional<std::string>)
GRADUS_ADD(std::optional<int64_t>)
GRADUS_ADD(std::optional<double>)
GRADUS_ADD(std::vector<std::string>)
GRADUS_ADD(std::vector<uint64_t>)
#undef GRADUS_ADD

void CommandLine::add_required(const std::string& name, std::string& value, const std::string& help) {
  add_option(name, value, help, {})->required();
}

CommandLine& CommandLine::add_command(const std::string& name, const std::string& what, const std::string& examples) {
  CLI::App* command = app_->add_subcommand(name, what);
  if (!examples.empty()) command->footer(examples);
  commands_.push_back(std::unique_ptr<CommandLine>(new CommandLine(command)));
  return *commands_.back();
}

void CommandLine::require_command() { app_->require_subcommand(1); }

void CommandLine::refuse_unknown_command(int argc, char** argv) const {
  if (app_->get_require_subcommand_min() == 0 || argc < 2 || *argv[1] == '-') return;
  for (const auto& command : commands_)
    if (command->program() == argv[1]) return;
  throw UsageError(std::string("there is no command '") + argv[1] +
                   "'; there are: " + joined(commands_, [](const auto& command) { return command->program(); }));
}

bool CommandLine::given(const std::string& flag) const { return app_->count(flag) > 0; }
bool CommandLine::chosen() const { return app_->parsed(); }
std::string CommandLine::program() const { return app_->get_name(); }

std::vector<CommandLine::Flag> CommandLine::flags() const {
  std::vector<Flag> flags;
  for (const CLI::Option* option : app_->get_options()) {
    if (option->get_lnames().empty()) continue;
    flags.push_back({option->get_lnames().front(), std::nullopt});
    if (option->count() > 0) flags.back().given = option->results().back();
  }
  return flags;
}

void CommandLine::give(const std::string& name, const std::string& value) {
  CLI::Option* option = app_->get_option("--" + name);
  option->add_result(value);
  option->run_callback();
}

int run(CommandLine& line, int argc, char** argv, const std::function<int()>& work) {
  exit_on_interrupts();
  const auto failed = [](int code, const std::string& reason) {
    note(reason);
    return code;
  };
  try {
    line.refuse_unknown_command(argc, argv);
    line.app_->parse(argc, argv);
    for (const CommandLine::Flag& flag : line.flags())
      if (flag.name == "resume" && flag.given) take_flags_from(*flag.given, line);
    return work();
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help
      const int code = line.app_->exit(error);
      return std::cout.flush() ? code : failed(1, "[standard output] cannot write the help");
    }
    const bool unknown = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
    const std::string flag = unknown ? no_such_flag(*line.app_, line.app_->remaining(true)) : "";
    return failed(2, (flag.empty() ? error.what() : flag) + " (--help lists the flags)");
  } catch (const UsageError& error) {
    return failed(2, error.what());
  } catch (const std::bad_alloc&) {
    return failed(1, "not enough memory");
  } catch (const std::exception& error) {
    return failed(1, error.what());
  }
}

void print_line(const std::string& line) {
  if (std::fprintf(stdout, "%s\n", line.c_str()) < 0 || std::fflush(stdout) != 0) {
    throw OutputError(ErrorKind::io, "[standard output] cannot write: " + std::generic_category().message(errno));
  }
}

void note(const std::string& line) {
  std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, on_one_line(line).c_str());
}

}  // namespace gradus::apps
