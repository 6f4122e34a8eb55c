// Chooses the build of the passes that fits this processor.
#include "core/cpu/winograd/winograd.h"

#include "core/cpu/isa.h"
#include "core/cpu/winograd/passes.h"

namespace gradus::winograd {
namespace {

#if defined(__x86_64__)
const Passes& passes() { return cpu::isa() == cpu::Isa::v4 ? v4::passes : v3::passes; }
#else
const Passes& passes() { return baseline::passes; }
#endif

}  // namespace

bool supports(int64_t in, int64_t out) {
  constexpr int64_t multiple = 16, most = 4096;
  return in % multiple == 0 && out % multiple == 0 && in <= most && out <= most;
}

bool available() {
#if defined(__x86_64__)
  return cpu::isa() != cpu::Isa::baseline;  // SSE's sixteen short registers are not worth a build of their own
#else
  return true;
#endif
}

void forward(const Problem& p, const float* x, const float* w, const float* bias, bool relu, float* y) {
  passes().forward(p, x, w, bias, relu, y);
}

void grad_input(const Problem& p, const float* gy, const float* w, float* gx) { passes().grad_input(p, gy, w, gx); }

void grad_weight(const Problem& p, const float* x, const float* gy, float* gw) { passes().grad_weight(p, x, gy, gw); }

}  // namespace gradus::winograd
