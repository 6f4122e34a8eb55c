// A line on the terminal that tells how far long work has come.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace gradus::apps {

/// Seconds since it was made.
class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// "42 s", "3:07" or "12:03:07".
std::string duration(double seconds);

/// Rewrites one line of standard error, at most ten times a second, where that is a terminal that can clear a line;
/// silent otherwise.
class Progress {
 public:
  Progress();
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// "<what>  12:03 left": `done` is the part of all work that is done, from 0 to 1, and the time left is what the rest
  /// takes at the pace since the first call.
  void show(const std::string& what, double done);
  /// Removes the line, so that other output starts on an empty one.
  void clear();

 private:
  const bool terminal_;
  bool started_ = false, shown_ = false;
  double done_at_start_ = 0;
  Stopwatch since_start_, since_shown_;
};

}  // namespace gradus::apps
