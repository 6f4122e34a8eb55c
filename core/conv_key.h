// What a library's plan of a convolution depends on, for caches of plans. Private to core.
#pragma once

#include "core/kernels.h"

namespace gradus {

enum class ConvPass : uint8_t { forward, grad_input, grad_weight };
/// "conv2d", "conv2d_grad_input", "conv2d_grad_weight": as the operations name themselves.
const char* name(ConvPass pass);

struct ConvKey {
  ConvPass pass;
  bool bias = false, relu = false;
  DType dtype = DType::float32;   ///< of activations
  DType weight = DType::float32;  ///< of the weight, or of its gradient
  int64_t variant = 0;            ///< threads, or whatever else the device's plans depend on
  Shape x, w, y;
  Conv2dSpec spec;
  friend bool operator==(const ConvKey&, const ConvKey&) = default;
};

struct ConvKeyHash {
  size_t operator()(const ConvKey& key) const;
};

}  // namespace gradus
