// Detection of the processor's vector instructions.
#include "core/cpu/isa.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "core/error.h"

namespace gradus::cpu {

namespace {

Isa detect() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                  __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (v4) return Isa::v4;
  if (v3) return Isa::v3;
#endif
  return Isa::baseline;
}

/// The highest level that the environment allows: GRADUS_MAX_ISA=baseline or v3, so that one machine can test them all.
Isa allowed() {
  const char* name = std::getenv("GRADUS_MAX_ISA");
  if (!name || std::string_view(name) == "v4") return Isa::v4;
  if (std::string_view(name) == "v3") return Isa::v3;
  if (std::string_view(name) == "baseline") return Isa::baseline;
  fail(ErrorKind::value, "device", "GRADUS_MAX_ISA must be baseline, v3 or v4, got ", name);
}

}  // namespace

Isa isa() {
  static const Isa chosen = std::min(detect(), allowed());
  return chosen;
}

const char* name(Isa isa) {
  switch (isa) {
    case Isa::v4: return "AVX-512";
    case Isa::v3: return "AVX2";
    case Isa::baseline: break;
  }
  return "baseline";
}

}  // namespace gradus::cpu
