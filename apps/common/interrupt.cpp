#include "apps/common/interrupt.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>

namespace gradus::apps {
namespace {

std::atomic<bool> deferred{false};
std::atomic<bool> seen{false};
std::atomic<bool> parent_ends_it{false};
std::atomic<int> group_to_end{0};
std::atomic<int> signal_held{0};
std::atomic<bool> starts_group{false};
std::atomic<const char*> last_words{nullptr};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may touch nothing else");

void on_signal(int number) {
  if (starts_group) {
    signal_held = number;
    return;
  }
  const bool first = !seen.exchange(true);
  if (parent_ends_it || (deferred && first)) return;
  if (group_to_end > 0) kill(-group_to_end, SIGTERM);
  if (const char* text = last_words) {
    const bool told = write(STDERR_FILENO, text, strlen(text)) > 0;
    static_cast<void>(told);
  }
  _exit(exit_interrupted);
}

/// oneDNN's products run on a stack that they cut from the heap, and a signal's frame below it would overwrite whatever
/// lies there. The main thread, which gets the process's signals, takes them on a stack of their own.
void take_signals_on_own_stack() {
  alignas(64) static char memory[64 << 10];  // a frame has all vector and tile registers: 11 KiB
  stack_t stack = {};
  stack.ss_sp = memory;
  stack.ss_size = sizeof memory;
  sigaltstack(&stack, nullptr);
}

}  // namespace

void exit_on_interrupts() {
  take_signals_on_own_stack();
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction hangup = {};
  sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);  // nohup ignores it
}

// By a handler that does nothing: programs that this one starts would inherit that the signal is ignored.
DeferInterrupts::DeferInterrupts() {
  deferred = true;
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(SIGPIPE, &action, nullptr);
}
DeferInterrupts::~DeferInterrupts() { deferred = false; }

void leave_ending_to_parent() {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  parent_ends_it = true;
}

EndsWithThis::EndsWithThis(const std::function<int()>& start) {
  starts_group = true;
  group_to_end = start();
  starts_group = false;
  if (const int number = signal_held.exchange(0)) on_signal(number);
}
EndsWithThis::~EndsWithThis() { group_to_end = 0; }

bool interrupted() { return seen; }
void write_at_end(const char* text) { last_words = text; }

}  // namespace gradus::apps
