#include "apps/bench/measure.h"

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>

#include "apps/common/command_line.h"
#include "apps/common/interrupt.h"
#include "apps/common/memory.h"
#include "apps/common/progress.h"
#include "core/accelerator.h"
#include "core/error.h"
#include "core/json.h"
#include "core/parallel.h"

namespace gradus::apps::bench {
namespace {

cpu_set_t starting_cores;

/// Before OpenMP is loaded, which under OMP_PROC_BIND keeps this thread on one core.
void remember_starting_cores() { sched_getaffinity(0, sizeof starting_cores, &starting_cores); }
[[gnu::used, gnu::section(".preinit_array")]] void (*const before_libraries)() = remember_starting_cores;

/// While one lives, this thread and what it starts may run on the cores that this process was given: OMP_PROC_BIND's
/// one core a child would inherit for all of its threads.
class StartingCores {
 public:
  StartingCores() {
    sched_getaffinity(0, sizeof before_, &before_);
    sched_setaffinity(0, sizeof starting_cores, &starting_cores);
  }
  ~StartingCores() { sched_setaffinity(0, sizeof before_, &before_); }
  StartingCores(const StartingCores&) = delete;
  StartingCores& operator=(const StartingCores&) = delete;

 private:
  cpu_set_t before_;
};

/// A shell's command, whose standard output is read. Its processes are a group, which a signal that ends this one ends
/// too; they read nothing from the terminal, of which they are not the foreground.
class Command {
 public:
  explicit Command(const std::string& command) : group_([&] { return start(command); }) {
    if (process_ == 0) fail(ErrorKind::io, "--against", "cannot start '", command, "'");
  }
  ~Command() { close(out_); }
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  /// All that it prints; nothing where it fails.
  std::optional<std::string> output() const {
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = read(out_, buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR);)
      if (n > 0) text.append(buffer, static_cast<size_t>(n));
    int status = 0;
    while (waitpid(process_, &status, 0) < 0 && errno == EINTR) continue;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? std::optional(text) : std::nullopt;
  }

 private:
  pid_t start(const std::string& command) {
    const StartingCores cores;
    int ends[2];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    pid_t process = 0;
    bool started = pipe2(ends, O_CLOEXEC) == 0;
    if (started) {
      posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
      posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
      std::string words[] = {"sh", "-c", command};
      char* arguments[] = {words[0].data(), words[1].data(), words[2].data(), nullptr};
      started = posix_spawn(&process, "/bin/sh", &actions, &attributes, arguments, environ) == 0;
      close(ends[1]);
      out_ = ends[0];
    }
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return process_ = started ? process : 0;
  }

  pid_t process_ = 0;
  int out_ = -1;
  EndsWithThis group_;
};

/// Runs a command and reads the JSON on its last line of output; null where it is none. Notes where it computed with
/// another number of threads.
Json last_line_of(const std::string& command) {
  std::optional<std::string> output = Command(command).output();
  if (!output) fail(ErrorKind::value, "--against", "'", command, "' failed");
  while (!output->empty() && output->back() == '\n') output->pop_back();
  Json result = Json::parse_or_null(output->substr(output->rfind('\n') + 1));
  const Json* threads = result.is_object() ? result.find("threads") : nullptr;
  static bool told = false;
  if (threads && threads->is_number() && threads->number() != num_threads() && !std::exchange(told, true))
    note(text("--against: '", command, "' computes with ", threads->dump(), " threads, and this program with ",
              num_threads(), ": give both the same number"));
  return result;
}

struct ProgramResult {
  double rate = 0;
  std::optional<double> peak_rss_mb;
};

ProgramResult run_program(const std::string& command, const std::string& rate_name) {
  const Json result = last_line_of(command);
  const Json *rate = result.find(rate_name), *peak = result.find("peak_rss_mb");
  if (!rate || !rate->is_number() || !(rate->number() > 0))
    fail(ErrorKind::value, "--against", "the last line of '", command, "' is no JSON object with a positive \"",
         rate_name, "\"");
  ProgramResult program{rate->number(), {}};
  if (peak && peak->is_number()) program.peak_rss_mb = peak->number();
  return program;
}

}  // namespace

double seconds_of(const std::function<void()>& work) {
  finish_device();
  const auto begin = std::chrono::steady_clock::now();
  work();
  finish_device();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::map<std::string, double> numbers_of(const std::string& command) {
  const Json result = last_line_of(command);
  std::map<std::string, double> numbers;
  if (result.is_object())
    for (const auto& [name, value] : result.object())
      if (value.is_number() && value.number() > 0) numbers.emplace(name, value.number());
  if (numbers.empty())
    fail(ErrorKind::value, "--against", "the last line of '", command, "' is no JSON object with positive numbers");
  return numbers;
}

void show_round(Progress& progress, int64_t round, int64_t rounds, double done) {
  progress.show(text("round ", round, " of ", rounds), done);
}

void MeasureFlags::add_to(CommandLine& line) {
  add_without_against(line);
  line.add("--against", against,
           "a command to run after each round, whose last line of output is a JSON object with the same rate:\n"
           "its rate and the ratio of the pairs are reported too");
}

void MeasureFlags::add_without_against(CommandLine& line) {
  line.group("Measurement");
  line.add("--rounds", rounds, "measurements, whose median is reported", at_least(1));
  line.add("--threads", threads, "of the computation; 0: all cores", thread_count());
  line.add("--json", json, "print one JSON object");
}

Record measure(const Subject& subject, const MeasureFlags& flags) {
  std::vector<double> rates, other_rates, ratios;
  std::optional<double> other_peak;
  Progress progress;
  for (int64_t round = 0; round < flags.rounds; ++round) {
    rates.push_back(subject.round());
    if (!flags.against.empty()) {
      const ProgramResult other = run_program(flags.against, subject.rate_name);
      other_rates.push_back(other.rate);
      ratios.push_back(rates.back() / other.rate);
      if (other.peak_rss_mb) other_peak = std::max(other_peak.value_or(0), *other.peak_rss_mb);
    }
    show_round(progress, round + 1, flags.rounds, static_cast<double>(round + 1) / static_cast<double>(flags.rounds));
  }
  const double rate = median(rates);
  Record record = {{subject.rate_name, rate},
                   {"step_ms", 1e3 * subject.per_step / rate},
                   {"best_step_ms", 1e3 * subject.per_step / *std::max_element(rates.begin(), rates.end())},
                   {"peak_rss_mb", peak_rss_mb()}};
  if (!ratios.empty()) {
    record.add("against_" + subject.rate_name, median(other_rates));
    if (other_peak) record.add("against_peak_rss_mb", *other_peak);
    record.add("ratio", median(ratios));
    record.add("ratio_min", *std::min_element(ratios.begin(), ratios.end()));
    record.add("ratio_max", *std::max_element(ratios.begin(), ratios.end()));
  }
  record.add({{"rounds", flags.rounds}, {"threads", int64_t{num_threads()}}});
  return record;
}

void report(const std::string& title, const Record& record, const MeasureFlags& flags) {
  if (flags.json) return print_line(record.json());
  print_line(title);
  const std::vector<Record::Field>& fields = record.fields();
  for (const auto& [name, value] : fields) print_line("  " + name + ": " + Record{{name, value}}.csv_values());
}

}  // namespace gradus::apps::bench
