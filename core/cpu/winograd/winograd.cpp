// Chooses the build of the passes that fits this processor.
#include "core/cpu/winograd/winograd.h"

#include <type_traits>

#include "core/cpu/isa.h"
#include "core/cpu/winograd/passes.h"

namespace gradus::winograd {
namespace {

#if defined(__x86_64__)
const Passes& chosen() { return cpu::isa() == cpu::Isa::v4 ? v4::passes : v3::passes; }
#else
const Passes& chosen() { return baseline::passes; }
#endif

template <class T>
const PassesOf<T>& passes() {
  if constexpr (std::is_same_v<T, bfloat16>)
    return chosen().of_bfloat16;
  else
    return chosen().of_float32;
}

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

template <class T>
void forward(const Problem& p, const T* x, const float* w, const float* bias, bool relu, T* y) {
  passes<T>().forward(p, x, w, bias, relu, y);
}

template <class T>
void grad_input(const Problem& p, const T* gy, const float* w, T* gx) {
  passes<T>().grad_input(p, gy, w, gx);
}

template <class T>
void grad_weight(const Problem& p, const T* x, const T* gy, float* gw) {
  passes<T>().grad_weight(p, x, gy, gw);
}

template void forward(const Problem&, const float*, const float*, const float*, bool, float*);
template void forward(const Problem&, const bfloat16*, const float*, const float*, bool, bfloat16*);
template void grad_input(const Problem&, const float*, const float*, float*);
template void grad_input(const Problem&, const bfloat16*, const float*, bfloat16*);
template void grad_weight(const Problem&, const float*, const float*, float*);
template void grad_weight(const Problem&, const bfloat16*, const bfloat16*, float*);

}  // namespace gradus::winograd
