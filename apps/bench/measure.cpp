#include "apps/bench/measure.h"

#include <sched.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#include "apps/common/command_line.h"
#include "apps/common/memory.h"
#include "apps/common/progress.h"
#include "core/error.h"
#include "core/json.h"
#include "core/parallel.h"

namespace gradus::apps::bench {
namespace {

/// While one lives, this thread and what it starts may run on every core: OMP_PROC_BIND keeps it on one, which a child
/// would inherit for all of its threads.
class EveryCore {
 public:
  EveryCore() {
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t all;
    CPU_ZERO(&all);
    for (int core = 0; core < CPU_SETSIZE; ++core) CPU_SET(core, &all);
    sched_setaffinity(0, sizeof all, &all);
  }
  ~EveryCore() { sched_setaffinity(0, sizeof before_, &before_); }
  EveryCore(const EveryCore&) = delete;
  EveryCore& operator=(const EveryCore&) = delete;

 private:
  cpu_set_t before_;
};

/// Runs a command and reads the JSON on its last line of output; null where it is none.
Json last_line_of(const std::string& command) {
  const EveryCore free_choice;
  std::FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) fail(ErrorKind::io, "--against", "cannot start '", command, "'");
  std::string output;
  char buffer[4096];
  while (const size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, n);
  const int status = pclose(pipe);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail(ErrorKind::value, "--against", "'", command, "' failed");
  while (!output.empty() && output.back() == '\n') output.pop_back();
  return Json::parse_or_null(output.substr(output.rfind('\n') + 1));
}

struct ProgramResult {
  double rate = 0, peak_rss_mb = 0;
};

ProgramResult run_program(const std::string& command, const std::string& rate_name) {
  const Json result = last_line_of(command);
  const Json *rate = result.find(rate_name), *peak = result.find("peak_rss_mb");
  if (!rate || !rate->is_number() || !(rate->number() > 0))
    fail(ErrorKind::value, "--against", "the last line of '", command, "' is no JSON object with a positive \"",
         rate_name, "\"");
  return {rate->number(), peak && peak->is_number() ? peak->number() : 0};
}

}  // namespace

double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
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

void MeasureFlags::add_to(CommandLine& line) {
  line.group("Measurement");
  line.add("--rounds", rounds, "measurements, whose median is reported", at_least(1));
  line.add("--threads", threads, "of the computation; 0: all cores", thread_count());
  line.add("--against", against,
           "a command to run after each round, whose last line of output is a JSON object with the same rate:\n"
           "its rate and the ratio of the pairs are reported too");
  line.add("--json", json, "print one JSON object");
}

Record measure(const Subject& subject, const MeasureFlags& flags) {
  use_threads(flags.threads);
  std::vector<double> rates, other_rates, ratios;
  double other_peak = 0;
  Progress progress;
  for (int64_t round = 0; round < flags.rounds; ++round) {
    rates.push_back(subject.round());
    if (!flags.against.empty()) {
      const ProgramResult other = run_program(flags.against, subject.rate_name);
      other_rates.push_back(other.rate);
      ratios.push_back(rates.back() / other.rate);
      other_peak = std::max(other_peak, other.peak_rss_mb);
    }
    progress.show("round " + std::to_string(round + 1) + " of " + std::to_string(flags.rounds),
                  static_cast<double>(round + 1) / static_cast<double>(flags.rounds));
  }
  const double rate = median(rates);
  Record record = {{subject.rate_name, rate},
                   {"step_ms", 1e3 * subject.per_step / rate},
                   {"best_step_ms", 1e3 * subject.per_step / *std::max_element(rates.begin(), rates.end())},
                   {"peak_rss_mb", peak_rss_mb()}};
  if (!ratios.empty()) {
    record.add("against_" + subject.rate_name, median(other_rates));
    record.add("against_peak_rss_mb", other_peak);
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
