// What a model computes, as a list of operations on numbered values that does not depend on the input.
#pragma once

#include <vector>

#include "autograd/trace.h"
#include "layers/module.h"

namespace gradus::onnx {

struct Operation {
  const char* name;
  std::vector<int> inputs;  ///< values; -1 where an optional one was not given
  int output;
  Attributes attributes;
};

struct Value {
  Var var;       ///< in the first run
  Shape shape;   ///< -1 where the extent depends on the batch size
  Shape second;  ///< of the second run
};

struct Trace {
  std::vector<Operation> operations;
  std::vector<Value> values;
  int input = 0, output = 0;

  /// Whether extent d of a value is the batch size itself.
  bool is_batch(int value, int d) const;
};

/// Runs the model twice in evaluation mode, on random inputs of two batch sizes, which are int64 in [0, tokens) where
/// tokens is positive; then the model's buffers are as they were before. Throws ErrorKind::value where the runs differ
/// in more than extents, where the output does not come from the input by operations on variables, where one of these
/// computes with what the model writes in place, and under a NoGrad or an Autocast.
Trace trace_model(Module& model, const Shape& input, int64_t tokens = 0);

}  // namespace gradus::onnx
