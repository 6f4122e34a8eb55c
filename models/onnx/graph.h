// An ONNX graph under construction: nodes in the order of execution, initializers, and the file that they make.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "core/protobuf.h"
#include "core/tensor.h"

namespace gradus::onnx {

struct NodeAttribute {
  const char* name;
  std::variant<int64_t, float, const char*, std::vector<int64_t>> value;
};

/// TensorProto.DataType
int64_t data_type(DType dtype);

class Graph {
 public:
  /// Adds a node of one output, and returns the output's name. An input "" is one that is not given.
  std::string node(const char* type, std::vector<std::string> inputs,
                   const std::vector<NodeAttribute>& attributes = {});
  /// Adds a tensor under this name unless it is there, and returns the name. Throws ErrorKind::value where all of them
  /// exceed the 2 GiB that a protocol buffer can hold.
  std::string initializer(const std::string& name, const Tensor& tensor);
  /// The same under a name of its own.
  std::string constant(const Tensor& tensor) { return initializer(fresh("constant"), tensor); }

  struct Port {
    std::string name;
    DType dtype;
    std::vector<std::variant<int64_t, std::string>> extents;  ///< a name where an extent is free
  };
  /// The bytes of the model that computes `output` from `input`.
  std::string model(const Port& input, const Port& output, const std::map<std::string, std::string>& metadata) const;
  /// Reserves a name that nodes and constants shall not take.
  void reserve(const std::string& name) { names_.insert(name); }
  /// Gives the value `from` the name under which the model hands it out.
  void output(const std::string& from, const std::string& name) { add_node("Identity", {from}, name, {}); }

 private:
  void add_node(const char* type, std::vector<std::string> inputs, const std::string& output,
                const std::vector<NodeAttribute>& attributes);
  std::string fresh(const std::string& stem);

  std::vector<protobuf::Message> nodes_, initializers_;
  std::set<std::string> names_, held_;
  uint64_t bytes_ = 0;
};

}  // namespace gradus::onnx
