// A convolution as a graph of cuDNN's backend API, in plain C calls: descriptors that own themselves, the graph of each
// pass, and the engine configurations that cuDNN proposes for it. Graphs are described without a GPU; proposals need
// one.
#pragma once

#include <cudnn_graph.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/accelerator.h"
#include "core/conv_key.h"

namespace gradus::cuda {

/// One of cuDNN's descriptors. Attributes are set one after another and take effect with finalize().
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type);

  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void* values);
  void set(cudnnBackendAttributeName_t name, int64_t value) { set(name, CUDNN_TYPE_INT64, 1, &value); }
  void set(cudnnBackendAttributeName_t name, std::span<const int64_t> values) {
    set(name, CUDNN_TYPE_INT64, static_cast<int64_t>(values.size()), values.data());
  }
  void set(cudnnBackendAttributeName_t name, float value) { set(name, CUDNN_TYPE_FLOAT, 1, &value); }
  void set(cudnnBackendAttributeName_t name, const Descriptor& value) {
    set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.raw());
  }
  /// False where this cuDNN has no such attribute.
  [[nodiscard]] bool try_set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                             const void* values);
  /// Reads up to `room` values and returns how many there are.
  int64_t get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t room, void* values) const;

  void finalize();
  /// False where cuDNN does not support what the descriptor asks for.
  [[nodiscard]] bool try_finalize();
  const cudnnBackendDescriptor_t& raw() const { return raw_; }

 private:
  struct Destroy {
    void operator()(void* descriptor) const { cudnnBackendDestroyDescriptor(descriptor); }
  };
  cudnnBackendDescriptor_t raw_ = nullptr;
  std::unique_ptr<void, Destroy> owner_;
};

/// The GPU that work is planned for: one that is there, or one that is only described, in cuDNN's JSON.
class Target {
 public:
  explicit Target(cudnnHandle_t handle) : handle_(handle) {}
  explicit Target(const std::string& properties);
  /// Sets one of the two attributes.
  void set(Descriptor& descriptor, cudnnBackendAttributeName_t handle, cudnnBackendAttributeName_t properties) const;
  bool is_there() const { return handle_ != nullptr; }

 private:
  cudnnHandle_t handle_ = nullptr;
  std::unique_ptr<Descriptor> properties_;
};

/// Names of a graph's tensors in a variant pack.
enum ConvTensor : int64_t { id_x = 'x', id_w = 'w', id_y = 'y', id_bias = 'b' };

/// The operations of one pass: x, w and y channels-last, arithmetic in float32. A forward pass adds the bias and
/// applies ReLU where the key says so.
class ConvGraph {
 public:
  explicit ConvGraph(const ConvKey& key);
  const std::vector<Descriptor>& operations() const { return operations_; }
  /// The graph of these operations; nothing where cuDNN has no such graph.
  std::unique_ptr<Descriptor> bind(const Target& target) const;

 private:
  Descriptor& tensor(int64_t id, const Shape& shape, DType dtype, bool is_virtual = false);
  void pointwise(cudnnPointwiseMode_t mode, const Descriptor& x, const Descriptor* b, const Descriptor& y);

  std::vector<std::unique_ptr<Descriptor>> parts_;  // what the operations refer to
  std::vector<Descriptor> operations_;
};

/// One engine with its settings.
struct Proposal {
  std::unique_ptr<Descriptor> config = nullptr;
  /// "engine 14 (5=1, 12=3)": the engine's number and its knobs; equal for equal libraries and GPUs.
  std::string name = {};
  bool deterministic, tensor_cores, converts_down;
};
/// What cuDNN proposes, one after another: the heuristic's list, best first, and then its list of engines that fit most
/// problems, without those that the first list had. Each is asked for only when it is wanted, since asking takes time.
class Proposals {
 public:
  Proposals(const Target& target, const Descriptor& graph) : target_(target), graph_(graph) {}
  std::optional<Proposal> next();

 private:
  const Target& target_;
  const Descriptor& graph_;
  size_t list_ = 0;                                   // that is asked for next
  std::vector<std::unique_ptr<Descriptor>> configs_;  // of the current list, last first
  std::vector<std::string> given_;
};
/// Whether the settings allow it for elements of this dtype.
bool allowed(const Proposal& proposal, DType dtype, const AcceleratorSettings& settings);
/// The engine made ready; nothing where it turns out not to support the graph after all.
std::unique_ptr<Descriptor> make_plan(const Target& target, const Proposal& proposal);

}  // namespace gradus::cuda
