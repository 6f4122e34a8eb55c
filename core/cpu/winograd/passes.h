// What each build of passes.cpp (one per instruction set) offers to the dispatcher.
#pragma once

#include "core/cpu/winograd/winograd.h"

namespace gradus::winograd {

struct Passes {
  void (*forward)(const Problem&, const float* x, const float* w, const float* bias, bool relu, float* y);
  void (*grad_input)(const Problem&, const float* gy, const float* w, float* gx);
  void (*grad_weight)(const Problem&, const float* x, const float* gy, float* gw);
};

namespace baseline {
extern const Passes passes;
}
namespace v3 {
extern const Passes passes;
}
namespace v4 {
extern const Passes passes;
}

}  // namespace gradus::winograd
