// The rival of `bench conv`: every way in which oneDNN itself can do a convolution.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/ops.h"

namespace gradus::apps::bench {

enum class Pass { forward, grad_input, grad_weight };

/// A primitive with memory of its own, in the layouts that it likes best.
struct Primitive {
  std::string name;  ///< algorithm and layout of the activations
  std::function<void()> run;
};

/// oneDNN's primitives for one pass of a convolution with bias and ReLU: direct, on channels-last activations and on
/// its own layouts, and Winograd where it has it. None where this program was built without oneDNN.
std::vector<Primitive> onednn_primitives(Pass pass, const Shape& x, const Shape& w, const Shape& y,
                                         const Conv2dSpec& spec, DType dtype);

}  // namespace gradus::apps::bench
