// One step of the tape: reference-counted, numbered in order of creation, with the nodes of its inputs and a function
// that turns the gradient of its output into the gradients of its inputs. Every node has exactly one output.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/dtype.h"
#include "core/shape.h"

namespace gradus {

class Curvature;
class Node;
class Var;

/// An owning pointer to a node. Dropping the last one destroys a whole chain without recursion.
class NodePtr {
 public:
  NodePtr() = default;
  explicit NodePtr(Node* node) noexcept : node_(node) { retain(); }  ///< takes a share
  NodePtr(const NodePtr& other) noexcept : NodePtr(other.node_) {}
  NodePtr(NodePtr&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  NodePtr& operator=(NodePtr other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~NodePtr() { release(); }

  Node* get() const { return node_; }
  Node* operator->() const { return node_; }
  Node& operator*() const { return *node_; }
  explicit operator bool() const { return node_ != nullptr; }
  friend bool operator==(const NodePtr& a, const NodePtr& b) { return a.node_ == b.node_; }

 private:
  inline void retain() const noexcept;
  inline void release() const noexcept;

  Node* node_ = nullptr;
};

class Node {
 public:
  Node(const char* name, const Shape& shape, DType dtype);
  virtual ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  static void* operator new(size_t bytes);
  static void operator delete(void* memory, size_t bytes) noexcept;

  /// The operation, for messages: "conv2d".
  const char* name() const { return name_; }
  /// Grows with every node made on any thread: a node's inputs always have smaller numbers.
  uint64_t sequence() const { return sequence_; }
  /// Of the output.
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  /// One per input of the operation; null where the input is a constant.
  std::span<const NodePtr> inputs() const { return inputs_; }
  bool needs_grad(size_t input) const { return static_cast<bool>(inputs_[input]); }

  /// Fills `out` (as long as inputs()) from the gradient of the output.
  virtual void backward(const Var& gy, std::span<Var> out) = 0;
  /// The same, and what `h` asks for: the diagonal curvature of the inputs. False, with nothing done, where the
  /// operation has no rule for it.
  virtual bool backward(const Var& gy, std::span<Var> out, const Curvature& h) = 0;
  /// Frees what was saved for backward(); a later backward() throws.
  virtual void release() = 0;
  /// Whether backward() adds to what it finds in `out`, in place, where others only fill it.
  bool adds() const { return adds_; }
  /// Leaves accumulate instead of passing on.
  virtual bool is_leaf() const { return false; }
  /// Whether operations recorded from now on link to it: false of a frozen leaf.
  bool wanted() const { return wanted_; }

  std::vector<std::function<Var(const Var&)>>& hooks();

 protected:
  std::span<NodePtr> inputs_;  ///< held by the derived class
  bool wanted_ = true;
  bool adds_ = false;

 private:
  friend class NodePtr;
  friend class Walk;
  static void destroy(Node* node) noexcept;

  const char* name_;
  Shape shape_;
  DType dtype_;
  std::atomic<uint32_t> references_{0};
  uint64_t sequence_;
  std::unique_ptr<std::vector<std::function<Var(const Var&)>>> hooks_;
  uint64_t walk_ = 0;  ///< number of the walk that is under way here
  size_t slot_ = 0;    ///< its place in that walk
};

void NodePtr::retain() const noexcept {
  if (node_) node_->references_.fetch_add(1, std::memory_order_relaxed);
}
void NodePtr::release() const noexcept {
  if (node_ && node_->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) Node::destroy(node_);
}

}  // namespace gradus
