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

/// Rewrites one line of standard error, at most ten times a second, where that is a terminal; silent otherwise.
class Progress {
 public:
  /// `total` counts the work in any unit.
  explicit Progress(int64_t total);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// "<what>  1234 <unit>/s  12:03 left", the rate and the time left as measured since the first call.
  void show(int64_t done, const std::string& what, const char* unit);
  /// Removes the line, so that other output starts on an empty one.
  void clear();

 private:
  const bool terminal_;
  const int64_t total_;
  Stopwatch since_first_, since_shown_;
  int64_t first_ = -1;
  bool shown_ = false;
};

}  // namespace gradus::apps
