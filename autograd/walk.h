// The walk back over the tape that backward(), grad() and the sweep of curvature share. Not public.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "autograd/sweep.h"
#include "autograd/variable.h"

namespace gradus {

/// One pass over the nodes reachable from some outputs, in reverse order of creation. A node's inputs are older than it
/// is, so when the walk comes to a node, its gradient is complete; and since the order is total, sums of gradients are
/// formed in the same order in every run. What it notes in the nodes is put back at its end, for a walk that a hook of
/// it starts may meet the same nodes.
class Walk {
 public:
  explicit Walk(std::span<const Var> outputs);
  ~Walk();
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;

  bool reached(const NodePtr& node) const { return node && node->walk_ == number_; }
  bool reached_through(const NodePtr& node) const { return reached(node) && steps_[node->slot_].gradient.defined(); }

  /// Adds to the gradient that waits for `node`.
  void add(const NodePtr& node, Var gradient);
  /// The same for its curvature.
  void add_curvature(const NodePtr& node, Var curvature);

  /// The walk takes curvature along with the gradient.
  void carry_curvature(const PassCurvature& pass);
  /// Marks nodes whose gradients are results; only what lies between them and the outputs is computed.
  void keep(std::span<const Var> inputs);

  void run(bool create_graph, bool release);

  Var result(const NodePtr& node) const { return steps_[node->slot_].gradient; }
  Var curvature(const NodePtr& node) const { return curvatures_[node->slot_]; }

 private:
  struct Place {
    Node* node;
    uint64_t outer_walk;  ///< what the node held before
    size_t outer_slot;
  };
  struct Step {
    Node* node = nullptr;
    Var gradient;
    bool owned = false;  ///< made here and seen by nobody: more is added in place
    bool kept = false, useful = false;
  };

  Walk();
  Var& curvature_of(const Step& step) { return curvatures_[step.node->slot_]; }
  bool has_useful_input(const Node& node) const;
  Var take_owned(const NodePtr& node);
  void call_hooks(Step& step);
  void arrive(Step& step);
  void pass_on(Step& step, bool release);

  uint64_t number_;
  bool selective_ = false;
  std::vector<NodePtr> outputs_;  ///< and through them every node
  std::vector<Place> places_;
  std::vector<Step> steps_;
  const PassCurvature* pass_curvature_ = nullptr;
  std::vector<Var> curvatures_;                          ///< one per step where curvature goes along
  std::vector<Var> input_gradients_, input_curvatures_;  ///< of the node that passes on: their memory serves the next
};

}  // namespace gradus
