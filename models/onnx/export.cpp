// From a trace to a file: names for the values, a form for each operation.
#include "models/onnx/export.h"

#include <algorithm>

#include "core/error.h"
#include "core/file.h"
#include "models/onnx/forms.h"
#include "models/onnx/graph.h"
#include "models/onnx/trace.h"

namespace gradus {
namespace {

/// That the file can tell the values of these names from all others: to a runtime an empty name is no value at all.
void check_names(const OnnxOptions& options, const StateDict& state) {
  if (options.input.empty() || options.output.empty() || options.input == options.output)
    fail(ErrorKind::value, "export_onnx", "expects two different names of input and output, got \"", options.input,
         "\" and \"", options.output, "\"");
  for (const std::string& name : {options.input, options.output})
    if (state.contains(name))
      fail(ErrorKind::value, "export_onnx", "the model's state has a tensor \"", name,
           "\": give the input or output of this name another one");
}

void check_float32(const Module& model) {
  for (const Parameter& parameter : model.parameters())
    if (parameter.dtype() != DType::float32)
      fail(ErrorKind::dtype, "export_onnx", "the parameter ", parameter.name(), " is ", parameter.dtype(),
           ": load the state, with cast(), into a float32 model, and export that");
}

/// That a tensor which no operation of the model made is a constant or one of the model's own.
void check_known(const char* operation, const Var& x, const StateDict& state) {
  const auto is_x = [&](const auto& entry) { return entry.second.raw() == x.value().raw(); };
  if (x.requires_grad() && std::ranges::none_of(state, is_x))
    fail(ErrorKind::value, "export_onnx", "the operation '", operation, "' takes a trained tensor ", x.shape(),
         " that is none of the model's parameters. A layer that is a plain member is neither trained nor saved: "
         "register it with child(), and a tensor with parameter()");
}

}  // namespace

void export_onnx(const std::string& path, Module& model, const Shape& input, const OnnxOptions& options) {
  const StateDict tensors = model.state();
  check_names(options, tensors);
  check_float32(model);
  const onnx::Trace trace = onnx::trace_model(model, input, options.tokens);
  onnx::Graph graph;
  std::map<const void*, std::string> state;
  for (const auto& [name, tensor] : tensors) {
    state[tensor.raw()] = name;
    graph.reserve(name);
  }
  graph.reserve(options.input);
  graph.reserve(options.output);
  const std::function<std::string(const Tensor&)> named = [&](const Tensor& tensor) {
    const auto found = state.find(tensor.raw());
    if (found == state.end()) return graph.constant(tensor);
    const Tensor& whole = tensors.at(found->second);
    const bool same = tensor.shape() == whole.shape() && tensor.strides() == whole.strides();
    return same ? graph.initializer(found->second, tensor) : graph.constant(tensor);
  };

  std::vector<std::string> names(trace.values.size());
  names[static_cast<size_t>(trace.input)] = options.input;
  const auto name_of = [&](int value) {
    if (value < 0) return std::string();
    std::string& name = names[static_cast<size_t>(value)];
    if (name.empty()) name = named(trace.values[static_cast<size_t>(value)].var.value());
    return name;
  };
  for (const onnx::Operation& operation : trace.operations) {
    std::vector<std::string> inputs;
    for (int value : operation.inputs) {
      if (value >= 0 && names[static_cast<size_t>(value)].empty())
        check_known(operation.name, trace.values[static_cast<size_t>(value)].var, tensors);
      inputs.push_back(name_of(value));
    }
    names[static_cast<size_t>(operation.output)] =
        onnx::Translation(graph, trace, operation, std::move(inputs), options.input, named).translate();
  }
  graph.output(name_of(trace.output), options.output);

  const auto port = [&](const std::string& name, int value) {
    const onnx::Value& v = trace.values[static_cast<size_t>(value)];
    onnx::Graph::Port port{name, v.var.dtype(), {}};
    for (int d = 0; d < v.shape.rank(); ++d)
      if (v.shape[d] >= 0)
        port.extents.emplace_back(v.shape[d]);
      else
        port.extents.emplace_back(trace.is_batch(value, d) ? "batch" : text(name, "_extent", d));
    return port;
  };
  write_file_atomically(
      path, graph.model(port(options.input, trace.input), port(options.output, trace.output), options.metadata));
}

}  // namespace gradus
