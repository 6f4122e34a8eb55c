// A SIMD register of floats for whichever instruction set the including file is compiled for: core/cpu/vector's, and
// results in the activations' type. Include from passes.cpp only: everything here has a different meaning in each
// build.
#pragma once

#include "core/cpu/vector/pack.h"

namespace gradus::winograd::GRADUS_ISA {

using Vec = cpu::vector::GRADUS_ISA::Pack;
using cpu::vector::GRADUS_ISA::load, cpu::vector::GRADUS_ISA::store;
inline constexpr int lanes = cpu::vector::GRADUS_ISA::width;

[[gnu::always_inline]] inline Vec broadcast(float x) { return cpu::vector::GRADUS_ISA::spread(x); }

[[gnu::always_inline]] inline void store_result(float* p, Vec v) { store(p, v); }
/// Rounded to nearest even; NaN stays NaN.
[[gnu::always_inline]] inline void store_result(bfloat16* p, Vec v) {
  using cpu::vector::GRADUS_ISA::Bits;
  const Bits u = (Bits)v, quiet = u | 0x400000u;
  store(p, (Vec)(v == v ? u + 0x7fffu + (u >> 16 & 1u) : quiet));
}

/// The same past the caches, to memory that nothing reads soon; p is aligned to the register's size.
[[gnu::always_inline]] inline void stream_result(float* p, Vec v) { cpu::vector::GRADUS_ISA::stream(p, v); }
/// Half a cache line each: the caches join them.
[[gnu::always_inline]] inline void stream_result(bfloat16* p, Vec v) { store_result(p, v); }
/// Makes streamed stores visible before whatever follows.
inline void finish_streaming() { cpu::vector::GRADUS_ISA::end_streams(); }

}  // namespace gradus::winograd::GRADUS_ISA
