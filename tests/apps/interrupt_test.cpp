// Interrupts come on a stack of their own: oneDNN's products run on one that they cut from the heap.
#include "apps/common/interrupt.h"

#include <doctest/doctest.h>
#include <signal.h>
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

}  // namespace
}  // namespace gradus::apps
