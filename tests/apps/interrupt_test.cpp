// Interrupts come on a stack of their own: oneDNN's products run on one that they cut from the heap.
#include "apps/common/interrupt.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

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

}  // namespace
}  // namespace gradus::apps
