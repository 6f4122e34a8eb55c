#include "autograd/node.h"

#include <array>

#include "autograd/variable.h"

namespace gradus {
namespace {

/// Memory of nodes in lists per size, one set per thread: a step of a small network makes and drops dozens of nodes.
/// Memory freed on another thread than it came from simply joins that thread's list.
class NodeMemory {
 public:
  ~NodeMemory() {
    for (FreeNode*& head : free_)
      while (head) {
        FreeNode* next = head->next;
        ::operator delete(head);
        head = next;
      }
    closed = true;
  }

  static size_t bucket(size_t bytes) { return (bytes + granule - 1) / granule; }

  void* take(size_t bytes) {
    const size_t b = bucket(bytes);
    if (b >= free_.size() || closed) return ::operator new(bytes);
    if (FreeNode* head = free_[b]) {
      free_[b] = head->next;
      --kept_[b];
      return head;
    }
    return ::operator new(b* granule);
  }

  void give_back(void* memory, size_t bytes) {
    const size_t b = bucket(bytes);
    if (b >= free_.size() || closed || kept_[b] >= most_kept) return ::operator delete(memory);
    auto* node = static_cast<FreeNode*>(memory);
    node->next = free_[b];
    free_[b] = node;
    ++kept_[b];
  }

 private:
  struct FreeNode {
    FreeNode* next;
  };
  static constexpr size_t granule = 64, most_kept = 1024;
  static thread_local bool closed;  // the lists of this thread are gone, but nodes may still be dropped
  std::array<FreeNode*, 32> free_{};
  std::array<size_t, 32> kept_{};
};

thread_local bool NodeMemory::closed = false;

NodeMemory& node_memory() {
  static thread_local NodeMemory memory;
  return memory;
}

std::atomic<uint64_t> next_sequence{1};

}  // namespace

Node::Node(const char* name, const Shape& shape, DType dtype)
    : name_(name), shape_(shape), dtype_(dtype), sequence_(next_sequence.fetch_add(1, std::memory_order_relaxed)) {}

Node::~Node() = default;

void* Node::operator new(size_t bytes) { return node_memory().take(bytes); }
void Node::operator delete(void* memory, size_t bytes) noexcept { node_memory().give_back(memory, bytes); }

std::vector<std::function<Var(const Var&)>>& Node::hooks() {
  if (!hooks_) hooks_ = std::make_unique<std::vector<std::function<Var(const Var&)>>>();
  return *hooks_;
}

void Node::destroy(Node* node) noexcept {
  // A destructor drops the node's inputs and saved variables, each possibly the last share of another node: those come
  // here again and queue up behind the outermost call instead of nesting.
  static thread_local std::vector<Node*>* pending = nullptr;
  if (pending) {
    pending->push_back(node);
    return;
  }
  std::vector<Node*> queue;
  pending = &queue;
  delete node;
  while (!queue.empty()) {
    Node* next = queue.back();
    queue.pop_back();
    delete next;
  }
  pending = nullptr;
}

}  // namespace gradus
