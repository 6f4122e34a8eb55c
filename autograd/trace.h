// Watching the operations of a computation as they run, with what each was told beyond its inputs: what an exporter of
// graphs is made of.
#pragma once

#include <functional>
#include <span>
#include <variant>
#include <vector>

#include "autograd/variable.h"

namespace gradus {

/// What an operation was told beyond its inputs: {"stride", Dims{2, 2}}.
struct Attribute {
  const char* name;
  std::variant<int64_t, double, Dims, Tensor> value;
};
using Attributes = std::vector<Attribute>;

struct TracedOperation {
  const char* name;             ///< as in messages: "conv2d"
  std::span<const Var> inputs;  ///< undefined where an optional one was not given
  const Var& output;
  const Attributes& attributes;
};

/// While one lives, it sees every operation that is put on this thread's tape. They nest; the innermost sees.
class Tracer {
 public:
  using See = std::function<void(const TracedOperation& operation)>;
  explicit Tracer(See see);
  ~Tracer();
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

 private:
  friend void trace(const TracedOperation& operation);
  See see_;
  Tracer* outer_;
};

/// For record(): whether a Tracer lives on this thread, and what it sees.
bool tracing();
void trace(const TracedOperation& operation);

}  // namespace gradus
