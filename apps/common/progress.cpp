#include "apps/common/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "apps/common/interrupt.h"

namespace gradus::apps {
namespace {

// A longer line would wrap, and could then not be rewritten.
size_t terminal_columns() {
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

constexpr const char* clear_line = "\r\x1b[K";

bool knows_escape_codes() {
  const char* terminal = std::getenv("TERM");
  return !terminal || std::strcmp(terminal, "dumb") != 0;
}

}  // namespace

std::string duration(double seconds) {
  const auto whole = static_cast<int64_t>(std::lround(seconds));
  char text[48];
  if (whole < 60) {
    std::snprintf(text, sizeof text, "%lld s", static_cast<long long>(whole));
  } else if (whole < 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld", static_cast<long long>(whole / 60),
                  static_cast<long long>(whole % 60));
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", static_cast<long long>(whole / 3600),
                  static_cast<long long>(whole / 60 % 60), static_cast<long long>(whole % 60));
  }
  return text;
}

Progress::Progress() : terminal_(isatty(STDERR_FILENO) == 1 && knows_escape_codes()) {}

void Progress::show(const std::string& what, double done) {
  if (!terminal_) return;
  if (!started_) {
    started_ = true;
    done_at_start_ = done;
    since_start_ = Stopwatch();
  }
  if (shown_ && since_shown_.seconds() < 0.1) return;
  std::string line = what;
  if (done > done_at_start_) {
    line += "  " + duration(since_start_.seconds() * (1 - done) / (done - done_at_start_)) + " left";
  }
  line.resize(std::min(line.size(), terminal_columns() - 1));
  std::fprintf(stderr, "\r%s\x1b[K", line.c_str());
  std::fflush(stderr);
  since_shown_ = Stopwatch();
  shown_ = true;
  write_at_end(clear_line);
}

void Progress::clear() {
  if (!shown_) return;
  std::fputs(clear_line, stderr);
  shown_ = false;
  write_at_end(nullptr);
}

}  // namespace gradus::apps
