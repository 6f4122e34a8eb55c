// Models as ONNX files, which other runtimes execute without gradus.
#pragma once

#include <map>
#include <string>

#include "layers/module.h"

namespace gradus {

struct OnnxOptions {
  std::string input = "input", output = "output";    ///< two names that are none of state()'s
  std::map<std::string, std::string> metadata = {};  ///< what a user of the file must know: how to scale its input
  int64_t tokens = 0;  ///< where positive, the input is int64 in [0, tokens), for an Embedding, and not float32
};

/// Replaces `path` atomically by the model in evaluation mode: opset 17, weights inside under their names in state().
/// `input` is the shape of the input as in summary(), [1, 3, 32, 32]; its first extent is a batch, which stays free in
/// the file. The graph is what the tape sees in two runs on random inputs of different batch sizes, so any
/// model that computes with operations on variables can be exported, and one whose course, result or constants depend
/// on its input cannot. Buffers that forward writes get back the values that they had. Throws ErrorKind::value naming
/// the operation that has no ONNX form, that differs between the runs, that computes with a tensor which forward writes
/// in place, or that takes a trained tensor which is none of the model's parameters, or the input or output whose name
/// is empty or taken, and under a NoGrad or an Autocast; ErrorKind::io where writing fails.
void export_onnx(const std::string& path, Module& model, const Shape& input, const OnnxOptions& options = {});

}  // namespace gradus
