// Where the compiler knows no tiles.
#include "core/cpu/amx/grad_weight.h"

namespace gradus::cpu::amx {

bool available() { return false; }
void grad_weight(const Problem&, const bfloat16*, const bfloat16*, float*) {}

}  // namespace gradus::cpu::amx
