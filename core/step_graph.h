// Work of a GPU that is the same in every step of a training, captured once and then replayed by one call, in place of
// one call per kernel: a CUDA graph.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/tensor.h"

namespace gradus {

class Recording;

/// Some pieces of captured work that share memory.
///
///   StepGraph graph;
///   const size_t step = graph.capture([&] { y = f(x); });   // nothing is computed yet
///   copy_(x, input);
///   graph.replay(step);                                     // y holds f(input)
///
/// A replay reads and writes the very memory that body() used: new inputs are copied into it, and what body() left
/// holds the results of the last replay. That memory stays reserved as long as the graph lives; what body() freed may
/// be used by the graph's later captures, so a replay of an earlier capture may write over what a later one left.
/// Everything that the host computed in body() is a constant, but for the random keys of a module's draws: these go on
/// with the steps.
class StepGraph {
 public:
  /// Whether this device can, and may: a GPU, unless AcceleratorSettings say no.
  static bool possible();

  StepGraph();
  ~StepGraph();
  StepGraph(StepGraph&&) noexcept;
  StepGraph& operator=(StepGraph&&) noexcept;

  /// Captures what body() would have the device do, doing none of it; returns 0, 1, ... for the first, second, ...
  /// capture. Everything in body() must have been done once before on tensors of these shapes. Throws what body()
  /// throws; ErrorKind::device where it needs a value from the device, sends it one of the host's, or the device cannot
  /// capture. Nothing is captured then.
  size_t capture(const std::function<void()>& body);
  /// Does the work of that capture, so many training steps later: see Module::set_step.
  void replay(size_t number, int64_t steps_later = 0);

 private:
  std::unique_ptr<MemoryArena> arena_;  // outlives what was recorded
  Tensor steps_;                        // int64 [1]
  std::vector<std::unique_ptr<Recording>> recordings_;
};

/// Whether this thread is in a body(): what tensors hold cannot be read then.
bool capturing();
/// Throws where it is: for operations that would read, or send.
void check_not_capturing(const char* op);

}  // namespace gradus
