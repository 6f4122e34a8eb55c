#include "autograd/trace.h"

namespace gradus {
namespace {

thread_local Tracer* innermost_tracer = nullptr;

}  // namespace

Tracer::Tracer(See see) : see_(std::move(see)), outer_(innermost_tracer) { innermost_tracer = this; }

Tracer::~Tracer() { innermost_tracer = outer_; }

bool tracing() { return innermost_tracer != nullptr; }

void trace(const TracedOperation& operation) { innermost_tracer->see_(operation); }

}  // namespace gradus
