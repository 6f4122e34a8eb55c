// Field numbers are those of onnx.proto.
#include "models/onnx/graph.h"

#include <type_traits>

#include "core/error.h"

namespace gradus::onnx {
namespace {

using protobuf::Message;

constexpr int64_t ir_version = 8, opset = 17;
constexpr uint64_t largest = (uint64_t{1} << 31) - 1;

Message attribute_of(const NodeAttribute& attribute) {
  enum { float_type = 1, int_type = 2, string_type = 3, ints_type = 7 };
  Message message;
  message.bytes(1, attribute.name);
  std::visit(
      [&](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, float>) message.float32(2, value).integer(20, float_type);
        if constexpr (std::is_same_v<T, int64_t>) message.integer(3, value).integer(20, int_type);
        if constexpr (std::is_same_v<T, const char*>) message.bytes(4, value).integer(20, string_type);
        if constexpr (std::is_same_v<T, std::vector<int64_t>>) {
          for (int64_t item : value) message.integer(8, item);
          message.integer(20, ints_type);
        }
      },
      attribute.value);
  return message;
}

Message value_info(const Graph::Port& port) {
  Message shape;
  for (const auto& extent : port.extents) {
    const std::string* name = std::get_if<std::string>(&extent);
    shape.message(1, name != nullptr ? Message().bytes(2, *name) : Message().integer(1, std::get<int64_t>(extent)));
  }
  const Message tensor = Message().integer(1, data_type(port.dtype)).message(2, shape);
  return Message().bytes(1, port.name).message(2, Message().message(1, tensor));
}

}  // namespace

int64_t data_type(DType dtype) {
  switch (dtype) {
    case DType::float32: return 1;
    case DType::uint8: return 2;
    case DType::int32: return 6;
    case DType::int64: return 7;
    case DType::boolean: return 9;
    case DType::float64: return 11;
    case DType::bfloat16: return 16;
  }
  return 0;
}

std::string Graph::fresh(const std::string& stem) {
  std::string name;
  for (size_t number = names_.size(); !names_.insert(name = stem + "_" + std::to_string(number)).second;) ++number;
  return name;
}

std::string Graph::node(const char* type, std::vector<std::string> inputs,
                        const std::vector<NodeAttribute>& attributes) {
  const std::string output = fresh(type);
  add_node(type, std::move(inputs), output, attributes);
  return output;
}

void Graph::add_node(const char* type, std::vector<std::string> inputs, const std::string& output,
                     const std::vector<NodeAttribute>& attributes) {
  while (!inputs.empty() && inputs.back().empty()) inputs.pop_back();
  Message node;
  for (const std::string& input : inputs) node.bytes(1, input);
  node.bytes(2, output).bytes(3, output).bytes(4, type);
  for (const NodeAttribute& attribute : attributes) node.message(5, attribute_of(attribute));
  nodes_.push_back(std::move(node));
}

std::string Graph::initializer(const std::string& name, const Tensor& tensor) {
  if (!held_.insert(name).second) return name;
  bytes_ += static_cast<uint64_t>(tensor.numel()) * size_of(tensor.dtype());
  if (bytes_ > largest)
    fail(ErrorKind::value, "export_onnx", "the weights take more than the 2 GiB that one ONNX file can hold");
  const std::vector<char> bytes = tensor.to_bytes();
  Message message;
  for (int64_t extent : tensor.shape()) message.integer(1, extent);
  message.integer(2, data_type(tensor.dtype())).bytes(8, name).bytes(9, {bytes.data(), bytes.size()});
  initializers_.push_back(std::move(message));
  return name;
}

std::string Graph::model(const Port& input, const Port& output,
                         const std::map<std::string, std::string>& metadata) const {
  Message graph;
  for (const Message& node : nodes_) graph.message(1, node);
  graph.bytes(2, "gradus");
  for (const Message& initializer : initializers_) graph.message(5, initializer);
  graph.message(11, value_info(input)).message(12, value_info(output));
  Message model;
  model.integer(1, ir_version).bytes(2, "gradus").message(7, graph);
  model.message(8, Message().bytes(1, "").integer(2, opset));
  for (const auto& [key, value] : metadata) model.message(14, Message().bytes(1, key).bytes(2, value));
  return model.bytes();
}

}  // namespace gradus::onnx
