// Interrupts come on a stack of their own: oneDNN's products run on one that they cut from the heap.
#include "apps/common/interrupt.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>
#include <string>

#include "apps/common/progress.h"

namespace gradus::apps {
namespace {

TEST_CASE("interrupts have a stack with room for every register") {
  exit_on_interrupts();
  stack_t stack = {};
  REQUIRE(sigaltstack(nullptr, &stack) == 0);
  CHECK((stack.ss_flags & SS_DISABLE) == 0);
  CHECK(static_cast<long>(stack.ss_size) >= 4 * sysconf(_SC_MINSIGSTKSZ));
  for (int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action = {};
    REQUIRE(sigaction(number, nullptr, &action) == 0);
    if (number == SIGHUP && action.sa_handler == SIG_IGN) continue;  // under nohup
    CHECK((action.sa_flags & SA_ONSTACK) != 0);
    signal(number, SIG_DFL);
  }
}

TEST_CASE("a process that its parent ends survives any number of signals, and others the first") {
  const auto code_after_two = [](bool left_to_parent) {
    const pid_t child = fork();
    if (child == 0) {
      exit_on_interrupts();
      const DeferInterrupts deferred;
      if (left_to_parent) leave_ending_to_parent();
      raise(SIGINT);
      raise(SIGTERM);
      _exit(interrupted() ? 3 : 4);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  CHECK(code_after_two(true) == 3);
  CHECK(code_after_two(false) == exit_interrupted);
}

/// What a process shows on a terminal of the kind `terminal`, which draws a line of progress and is ended by a signal.
std::string shown_on(const char* terminal) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY);
  REQUIRE(master >= 0);
  REQUIRE(grantpt(master) == 0);
  REQUIRE(unlockpt(master) == 0);
  const int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
  REQUIRE(slave >= 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(slave, STDERR_FILENO);
    setenv("TERM", terminal, 1);
    exit_on_interrupts();
    Progress progress;
    progress.show("half", 0.5);
    raise(SIGTERM);
    _exit(1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WEXITSTATUS(status) == exit_interrupted);
  REQUIRE(write(slave, "|", 1) == 1);
  std::string text;
  for (char c; read(master, &c, 1) == 1 && c != '|';) text += c;
  close(slave);
  close(master);
  return text;
}

TEST_CASE("a signal that ends a program takes its line of progress away; a terminal that cannot clear one gets none") {
  CHECK(shown_on("xterm") == "\rhalf\x1b[K\r\x1b[K");
  CHECK(shown_on("dumb").empty());
}

}  // namespace
}  // namespace gradus::apps
