// How every benchmark measures: rounds of wall time, medians, and another program run in turn with ours, so that both
// see the same machine.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "apps/common/record.h"
#include "apps/common/statistics.h"

namespace gradus::apps {
class CommandLine;
class Progress;
}  // namespace gradus::apps

namespace gradus::apps::bench {

/// Wall time of one call, in seconds, until the device has done what it was given.
double seconds_of(const std::function<void()>& work);

/// Flags of every benchmark.
struct MeasureFlags {
  int64_t rounds = 7, threads = 0;
  std::string against;
  bool json = false;

  void add_to(CommandLine& line);
  void add_without_against(CommandLine& line);
};

/// "round 2 of 7", and the time left; `done` is the part of all work.
void show_round(Progress& progress, int64_t round, int64_t rounds, double done);

/// What one benchmark measures: `round` does a fixed amount of work and returns its rate per second.
struct Subject {
  std::string rate_name;  ///< "images_per_s"
  double per_step = 1;    ///< work items in a step: rate / per_step steps per second
  std::function<double()> round;
};

/// Runs the rounds, each followed by a run of --against's command where one is given, and returns the medians: the
/// rate, step_ms, peak_rss_mb, and for the other program its rate under "against_..." and the median "ratio" of the
/// pairs. What sets the number of threads comes before.
Record measure(const Subject& subject, const MeasureFlags& flags);

/// Runs a command and reads the JSON object on its last line of output: its positive numbers, by name. Throws where
/// there is none.
std::map<std::string, double> numbers_of(const std::string& command);

/// Prints the record as one line of JSON, or as a short table with `title` above.
void report(const std::string& title, const Record& record, const MeasureFlags& flags);

}  // namespace gradus::apps::bench
