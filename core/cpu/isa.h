// Which of the vector kernels' builds this processor runs: chosen once, at first use.
#pragma once

namespace gradus::cpu {

/// x86-64 psABI levels; every other architecture runs the baseline.
enum class Isa { baseline, v3, v4 };

/// The best level that both this build has and this processor runs, or a lower one that the environment variable
/// GRADUS_MAX_ISA names.
Isa isa();
const char* name(Isa isa);

}  // namespace gradus::cpu
