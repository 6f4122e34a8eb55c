// Operands in the memory order that a kernel of the CPU wants. Private to core/cpu.
#pragma once

#include "core/as_layout.h"

namespace gradus::cpu {

using gradus::as_layout;
using gradus::write_as_layout;

}  // namespace gradus::cpu
