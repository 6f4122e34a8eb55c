#include "apps/common/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace gradus::apps {
namespace {

std::atomic<bool> deferred{false};
std::atomic<bool> seen{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may touch nothing else");

void on_signal(int) {
  if (!deferred || seen.exchange(true)) _exit(exit_interrupted);
}

}  // namespace

void exit_on_interrupts() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

DeferInterrupts::DeferInterrupts() { deferred = true; }
DeferInterrupts::~DeferInterrupts() { deferred = false; }

bool interrupted() { return seen; }

}  // namespace gradus::apps
