// Ctrl-C, SIGTERM and a terminal that is gone (SIGHUP): a program ends with exit code 130, after it has finished its
// step and saved where it is training.
#pragma once

#include <functional>

namespace gradus::apps {

inline constexpr int exit_interrupted = 130;

/// From now on these signals end the process at once with exit_interrupted, also where a shell started it in the
/// background and thereby ignoring SIGINT; SIGHUP stays ignored where it is, as under nohup. For the main thread to
/// call.
void exit_on_interrupts();

/// While one lives, the first signal only makes interrupted() true; a second one ends the process at once, unless
/// leave_ending_to_parent() was called. From its beginning on the process survives that nobody reads its output any
/// more (SIGPIPE): print_line() throws then.
class DeferInterrupts {
 public:
  DeferInterrupts();
  ~DeferInterrupts();
  DeferInterrupts(const DeferInterrupts&) = delete;
  DeferInterrupts& operator=(const DeferInterrupts&) = delete;
};

/// For a process that its parent ends: from now on signals only make interrupted() true, however many come. A terminal
/// and `timeout` send theirs to all processes of a command, and the parent, which saw it too, passes it on: this one
/// would otherwise end before it has saved. When the parent ends, this process is killed.
void leave_ending_to_parent();

bool interrupted();

/// While one lives, a signal that ends this process at once ends another group of processes too.
class EndsWithThis {
 public:
  /// `start` returns the group that it started, 0 where it could not. A signal that comes meanwhile waits for it.
  explicit EndsWithThis(const std::function<int()>& start);
  ~EndsWithThis();
  EndsWithThis(const EndsWithThis&) = delete;
  EndsWithThis& operator=(const EndsWithThis&) = delete;
};

/// What is written to standard error before, such as what clears a line; null: nothing. The text must stay.
void write_at_end(const char* text);

}  // namespace gradus::apps
