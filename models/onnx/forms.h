// How each operation of autograd/ops.h is said in ONNX.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "models/onnx/graph.h"
#include "models/onnx/trace.h"

namespace gradus::onnx {

/// What a form sees: one operation of a trace and the names of its inputs in the graph.
class Translation {
 public:
  /// `model_input` is what the graph calls the model's input; `named` adds a tensor to the graph, under the model's
  /// name for it where it has one.
  Translation(Graph& graph, const Trace& trace, const Operation& operation, std::vector<std::string> inputs,
              const std::string& model_input, const std::function<std::string(const Tensor&)>& named)
      : graph_(graph),
        trace_(trace),
        operation_(operation),
        inputs_(std::move(inputs)),
        model_input_(model_input),
        named_(named) {}

  /// Adds the operation's nodes and returns the name of its result. Throws ErrorKind::value where it has no form.
  std::string translate();

  Graph& graph() { return graph_; }
  /// "" where input i was not given.
  std::string input(size_t i) const { return i < inputs_.size() ? inputs_[i] : ""; }
  size_t inputs() const { return inputs_.size(); }
  const char* operation() const { return operation_.name; }
  const Shape& input_shape(size_t i) const { return value(operation_.inputs[i]).shape; }
  const Shape& output_shape() const { return value(operation_.output).shape; }
  /// Whether extent d of the output is the batch size itself.
  bool output_is_batch(int d) const { return trace_.is_batch(operation_.output, d); }
  DType dtype() const { return value(operation_.output).var.dtype(); }
  bool has(const char* attribute) const { return find(attribute) != nullptr; }
  template <class T>
  const T& get(const char* attribute) const {
    return std::get<T>(find(attribute)->value);
  }
  std::vector<int64_t> ints(const char* attribute) const {
    const Dims& dims = get<Dims>(attribute);
    return {dims.begin(), dims.end()};
  }
  std::string tensor(const char* attribute) { return named_(get<Tensor>(attribute)); }
  /// Constants: a number of the operation's dtype, and integers.
  std::string number(double value) { return graph_.constant(Tensor::full({}, value, dtype())); }
  std::string integers(const std::vector<int64_t>& values);
  /// The batch size when the graph runs: integers of one element.
  std::string batch() { return graph_.node("Shape", {model_input_}, {{"start", int64_t{0}}, {"end", int64_t{1}}}); }

 private:
  const Value& value(int number) const { return trace_.values[static_cast<size_t>(number)]; }
  const Attribute* find(const char* name) const;

  Graph& graph_;
  const Trace& trace_;
  const Operation& operation_;
  std::vector<std::string> inputs_;
  const std::string& model_input_;
  const std::function<std::string(const Tensor&)>& named_;
};

}  // namespace gradus::onnx
