#include "autograd/walk.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "autograd/autocast.h"
#include "autograd/leaf.h"
#include "autograd/ops.h"
#include "autograd/recording.h"

namespace gradus {
namespace {

uint64_t next_walk() {
  static std::atomic<uint64_t> numbers{1};
  return numbers.fetch_add(1, std::memory_order_relaxed);
}

/// Whether more may be added in place to a gradient that is owned.
bool alone(const Var& sum) { return sum.defined() && sum.value().storage().unique() && sum.value().numel() > 0; }

}  // namespace

Walk::Walk() : number_(next_walk()) {}

Walk::Walk(std::span<const Var> outputs) : Walk() {  // delegates, so that the destructor follows every exception
  const auto reach = [&](const NodePtr& node) {
    if (!node || node->walk_ == number_) return;
    places_.push_back({node.get(), node->walk_, node->slot_});
    node->walk_ = number_;
  };
  for (const Var& output : outputs) {
    outputs_.push_back(output.node());
    reach(output.node());
  }
  for (size_t i = 0; i < places_.size(); ++i)  // places_ grows while it is read: an explicit stack
    for (const NodePtr& input : places_[i].node->inputs()) reach(input);
  std::sort(places_.begin(), places_.end(),
            [](const Place& a, const Place& b) { return a.node->sequence() > b.node->sequence(); });
  steps_.resize(places_.size());
  for (size_t i = 0; i < places_.size(); ++i) {
    steps_[i].node = places_[i].node;
    places_[i].node->slot_ = i;
  }
}

Walk::~Walk() {
  for (const Place& place : places_) {
    place.node->walk_ = place.outer_walk;
    place.node->slot_ = place.outer_slot;
  }
}

void Walk::add(const NodePtr& node, Var gradient) {
  check_fits("backward", "gradient", *node, gradient);
  Step& step = steps_[node->slot_];
  if (!step.gradient.defined()) {
    step.gradient = std::move(gradient);
    step.owned = false;
  } else if (step.owned && alone(step.gradient)) {
    Tensor sum = step.gradient.value();
    add_(sum, gradient.value());
  } else {
    step.gradient = step.gradient + gradient;
    step.owned = !recording();
  }
}

void Walk::add_curvature(const NodePtr& node, Var curvature) {
  check_fits("backward", "curvature", *node, curvature);
  Var& sum = curvatures_[node->slot_];
  sum = sum.defined() ? sum + curvature : std::move(curvature);
}

/// The gradient that waits for `node`, where more may be added in place; it is given back by add().
Var Walk::take_owned(const NodePtr& node) {
  if (!reached(node)) return Var();
  Step& step = steps_[node->slot_];
  return step.owned && alone(step.gradient) ? std::exchange(step.gradient, Var()) : Var();
}

void Walk::carry_curvature(const PassCurvature& pass) {
  pass_curvature_ = &pass;
  curvatures_.resize(steps_.size());
}

void Walk::keep(std::span<const Var> inputs) {
  selective_ = true;
  for (const Var& input : inputs)
    if (reached(input.node())) steps_[input.node()->slot_].kept = steps_[input.node()->slot_].useful = true;
  for (size_t i = steps_.size(); i-- > 0;)  // oldest first: useful if any input is
    if (has_useful_input(*steps_[i].node)) steps_[i].useful = true;
}

void Walk::run(bool create_graph, bool release) {
  const RecordingScope scope(create_graph);
  const Autocast as_forward(DType::float32);
  for (Step& step : steps_) {
    if (!step.gradient.defined() || (selective_ && !step.useful)) continue;
    call_hooks(step);
    if (step.node->is_leaf())
      arrive(step);
    else if (!selective_ || has_useful_input(*step.node))
      pass_on(step, release);
  }
}

void Walk::call_hooks(Step& step) {
  if (!step.node->hooks_) return;
  for (const auto& hook : *step.node->hooks_)
    if (Var replaced = hook(step.gradient); replaced.defined()) {
      check_fits("on_grad", "replaced gradient", *step.node, replaced);
      step.gradient = std::move(replaced);
    }
}

void Walk::arrive(Step& step) {
  Leaf& leaf = static_cast<Leaf&>(*step.node);
  if (!selective_) {
    leaf.accumulate(step.gradient.value());
    if (pass_curvature_) leaf.accumulate_curvature(curvature_of(step).value());
  }
  if (!step.kept) step.gradient = Var();
}

void Walk::pass_on(Step& step, bool release) {
  Node& node = *step.node;
  const std::span<const NodePtr> inputs = node.inputs();
  input_gradients_.assign(inputs.size(), Var());
  if (node.adds()) input_gradients_[0] = take_owned(inputs[0]);
  if (pass_curvature_) {
    input_curvatures_.assign(inputs.size(), Var());
    (*pass_curvature_)(node, step.gradient, input_gradients_, curvature_of(step), input_curvatures_);
    if (!step.kept) curvature_of(step) = Var();
  } else {
    node.backward(step.gradient, input_gradients_);
  }
  if (release) node.release();
  if (!step.kept) step.gradient = Var();
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i] && input_gradients_[i].defined()) {
      add(inputs[i], std::move(input_gradients_[i]));
      if (node.adds()) steps_[inputs[i]->slot_].owned = !recording();
      if (pass_curvature_) add_curvature(inputs[i], std::move(input_curvatures_[i]));
    }
}

bool Walk::has_useful_input(const Node& node) const {
  for (const NodePtr& input : node.inputs())
    if (input && steps_[input->slot_].useful) return true;
  return false;
}

}  // namespace gradus
