// How much memory a program took.
#pragma once

#include <sys/resource.h>

namespace gradus::apps {

/// Largest resident memory of this process so far, in MB (2^20 bytes).
inline double peak_rss_mb() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

}  // namespace gradus::apps
