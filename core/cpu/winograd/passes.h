// What each build of passes.cpp (one per instruction set) offers to the dispatcher.
#pragma once

#include "core/cpu/winograd/winograd.h"

namespace gradus::winograd {

template <class T>
struct PassesOf {
  void (*forward)(const Problem&, const T* x, const float* w, const float* bias, bool relu, T* y);
  void (*grad_input)(const Problem&, const T* gy, const float* w, T* gx);
  void (*grad_weight)(const Problem&, const T* x, const T* gy, float* gw);
};
struct Passes {
  PassesOf<float> of_float32;
  PassesOf<bfloat16> of_bfloat16;
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
