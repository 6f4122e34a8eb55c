// What a model is made of: the layers in order of execution with their output shapes, parameters and multiplications.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "layers/module.h"

namespace gradus {

struct LayerSummary {
  std::string name;    ///< full name in the model
  std::string layer;   ///< describe()
  Shape output;        ///< of the call
  int64_t parameters;  ///< its own, without children; 0 in a second call of the same layer
  int64_t macs;        ///< multiplications with following addition in this call
};

struct Summary {
  Shape input;
  std::vector<LayerSummary> layers;  ///< calls of layers without children or with parameters of their own
  int64_t parameters = 0;            ///< of the whole model, whether called or not
  int64_t macs = 0;
};

/// Runs the model once in evaluation mode on this input ([1, 3, 32, 32]: per image). MACs are exact for linear and
/// convolution layers; operations that are no layers are not counted.
Summary summary(Module& model, const Tensor& input);
/// On float32 zeros of this shape. A model of tokens takes Tensor::zeros({1, 16}, DType::int64) instead.
Summary summary(Module& model, const Shape& input);

/// A table, one line per layer, and the totals.
std::string to_string(const Summary& summary);
std::ostream& operator<<(std::ostream& out, const Summary& summary);

}  // namespace gradus
