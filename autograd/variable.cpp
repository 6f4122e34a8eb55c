// Leaves, the recording switch, and the walk that backward() and grad() share.
#include "autograd/variable.h"

#include <algorithm>

#include "autograd/autocast.h"
#include "autograd/ops.h"
#include "autograd/record.h"
#include "autograd/sweep.h"
#include "core/check_defined.h"
#include "core/error.h"

namespace gradus {
namespace {

thread_local bool recording_flag = true;

/// The end of the tape: keeps what arrives.
class Leaf final : public Node {
 public:
  using Node::Node;
  void backward(const Var&, std::span<Var>) override {}
  bool backward(const Var&, std::span<Var>, const Curvature&) override { return true; }
  void release() override {}
  bool is_leaf() const override { return true; }

  void accumulate(const Tensor& more) {
    if (!grad_.defined()) {
      grad_ = more;
      owned_ = false;
    } else if (owned_ && grad_.storage().unique()) {
      add_(grad_, more);
    } else {
      grad_ = grad_ + more;
      owned_ = true;
    }
  }
  void accumulate_curvature(const Tensor& more) { curvature_ = curvature_.defined() ? curvature_ + more : more; }
  const Tensor& grad() const { return grad_; }
  void set_grad(Tensor grad) {
    grad_ = std::move(grad);
    owned_ = false;
  }
  const Tensor& curvature() const { return curvature_; }
  void set_curvature(Tensor curvature) { curvature_ = std::move(curvature); }

 private:
  Tensor grad_, curvature_;
  bool owned_ = false;  ///< made here, so that nobody else sees it change
};

/// That `x` can be the gradient, or the curvature, of the node's output.
template <class T>
void check_fits(const char* op, const char* what, const Node& node, const T& x) {
  if (!(x.shape() == node.shape()))
    fail(ErrorKind::shape, op, "the ", what, " of '", node.name(), "' must have its shape ", node.shape(), ", but ",
         x.shape(), " came");
  if (x.dtype() != node.dtype())
    fail(ErrorKind::dtype, op, "the ", what, " of '", node.name(), "' must be ", node.dtype(), ", but ", x.dtype(),
         " came");
}

Leaf& leaf_of(const Var& v, const char* op) {
  if (!v.is_leaf())
    fail(ErrorKind::value, op,
         "only a leaf that requires a gradient keeps one; for an intermediate result use on_grad() or grad()");
  return static_cast<Leaf&>(*v.node());
}

class RecordingScope {
 public:
  explicit RecordingScope(bool on) : before_(std::exchange(recording_flag, on)) {}
  ~RecordingScope() { recording_flag = before_; }
  RecordingScope(const RecordingScope&) = delete;
  RecordingScope& operator=(const RecordingScope&) = delete;

 private:
  bool before_;
};

}  // namespace

bool recording() { return recording_flag; }
NoGrad::NoGrad() : before_(std::exchange(recording_flag, false)) {}
NoGrad::~NoGrad() { recording_flag = before_; }

/// One pass over the nodes reachable from some outputs, in reverse order of creation. A node's inputs are older than it
/// is, so when the walk comes to a node, its gradient is complete; and since the order is total, sums of gradients are
/// formed in the same order in every run. What it notes in the nodes is put back at its end, for a walk that a hook of
/// it starts may meet the same nodes.
class Walk {
 public:
  explicit Walk(std::span<const Var> outputs) : Walk() {  // delegates, so that the destructor follows every exception
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
  ~Walk() {
    for (const Place& place : places_) {
      place.node->walk_ = place.outer_walk;
      place.node->slot_ = place.outer_slot;
    }
  }
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;

  bool reached(const NodePtr& node) const { return node && node->walk_ == number_; }
  bool reached_through(const NodePtr& node) const { return reached(node) && steps_[node->slot_].gradient.defined(); }

  /// Adds to the gradient that waits for `node`.
  void add(const NodePtr& node, Var gradient) {
    add("gradient", node, steps_[node->slot_].gradient, std::move(gradient));
  }
  /// The same for its curvature.
  void add_curvature(const NodePtr& node, Var curvature) {
    add("curvature", node, curvatures_[node->slot_], std::move(curvature));
  }

  /// The walk takes curvature along with the gradient.
  void carry_curvature(const PassCurvature& pass) {
    pass_curvature_ = &pass;
    curvatures_.resize(steps_.size());
  }

  /// Marks nodes whose gradients are results; only what lies between them and the outputs is computed.
  void keep(std::span<const Var> inputs) {
    selective_ = true;
    for (const Var& input : inputs)
      if (reached(input.node())) steps_[input.node()->slot_].kept = steps_[input.node()->slot_].useful = true;
    for (size_t i = steps_.size(); i-- > 0;)  // oldest first: useful if any input is
      for (const NodePtr& input : steps_[i].node->inputs())
        if (input && steps_[input->slot_].useful) steps_[i].useful = true;
  }

  void run(bool create_graph, bool release) {
    const RecordingScope scope(create_graph);
    const Autocast as_forward(DType::float32);
    std::vector<Var> gradients, curvatures;
    for (Step& step : steps_) {
      if (!step.gradient.defined() || (selective_ && !step.useful)) continue;
      Node& node = *step.node;
      if (node.hooks_)
        for (const auto& hook : *node.hooks_)
          if (Var replaced = hook(step.gradient); replaced.defined()) {
            check_fits("on_grad", "replaced gradient", node, replaced);
            step.gradient = std::move(replaced);
          }
      if (node.is_leaf()) {
        if (!selective_) static_cast<Leaf&>(node).accumulate(step.gradient.value());
        if (!selective_ && pass_curvature_)
          static_cast<Leaf&>(node).accumulate_curvature(curvatures_[node.slot_].value());
        if (!step.kept) step.gradient = Var();
        continue;
      }
      if (selective_ && !has_useful_input(node)) continue;
      const auto inputs = node.inputs();
      gradients.clear();
      gradients.resize(inputs.size());
      if (pass_curvature_) {
        curvatures.assign(inputs.size(), Var());
        (*pass_curvature_)(node, step.gradient, gradients, curvatures_[node.slot_], curvatures);
        if (!step.kept) curvatures_[node.slot_] = Var();
      } else {
        node.backward(step.gradient, gradients);
      }
      if (release) node.release();
      if (!step.kept) step.gradient = Var();
      for (size_t i = 0; i < inputs.size(); ++i)
        if (inputs[i] && gradients[i].defined()) {
          add(inputs[i], std::move(gradients[i]));
          if (pass_curvature_) add_curvature(inputs[i], std::move(curvatures[i]));
        }
    }
  }

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
    bool kept = false, useful = false;
  };

  Walk() : number_(next_number()) {}

  static uint64_t next_number() {
    static std::atomic<uint64_t> numbers{1};
    return numbers.fetch_add(1, std::memory_order_relaxed);
  }

  static void add(const char* what, const NodePtr& node, Var& sum, Var more) {
    check_fits("backward", what, *node, more);
    sum = sum.defined() ? sum + more : std::move(more);
  }

  bool has_useful_input(const Node& node) const {
    for (const NodePtr& input : node.inputs())
      if (input && steps_[input->slot_].useful) return true;
    return false;
  }

  uint64_t number_;
  bool selective_ = false;
  std::vector<NodePtr> outputs_;  ///< and through them every node
  std::vector<Place> places_;
  std::vector<Step> steps_;
  const PassCurvature* pass_curvature_ = nullptr;
  std::vector<Var> curvatures_;  ///< one per step where curvature goes along
};

Var Var::leaf(Tensor value) {
  check::defined("leaf", value, "the value");
  if (!is_floating(value.dtype()))
    fail(ErrorKind::dtype, "leaf", "only floating tensors have gradients, but this one is ", value.dtype());
  NodePtr node(new Leaf("leaf", value.shape(), value.dtype()));
  return Var(std::move(value), std::move(node));
}

bool Var::is_leaf() const { return node_ && node_->is_leaf(); }
const Tensor& Var::grad() const { return leaf_of(*this, "grad").grad(); }
void Var::set_grad(Tensor grad) const {
  Leaf& leaf = leaf_of(*this, "set_grad");
  if (grad.defined()) check_fits("set_grad", "gradient", leaf, grad);
  leaf.set_grad(std::move(grad));
}
void Var::clear_grad() const {
  Leaf& leaf = leaf_of(*this, "clear_grad");
  leaf.set_grad(Tensor());
  leaf.set_curvature(Tensor());
}
const Tensor& Var::curvature() const { return leaf_of(*this, "curvature").curvature(); }
void Var::set_curvature(Tensor curvature) const {
  Leaf& leaf = leaf_of(*this, "set_curvature");
  if (curvature.defined()) check_fits("set_curvature", "curvature", leaf, curvature);
  leaf.set_curvature(std::move(curvature));
}

void Var::backward(const BackwardOptions& options) const {
  if (value_.numel() != 1)
    fail(ErrorKind::shape, "backward", "needs a single element (a loss), but the shape is ", shape(),
         ". Reduce it with sum() or mean(), or pass a seed of this shape");
  backward(Tensor::full(shape(), 1, dtype()), options);
}

void Var::backward(const Tensor& seed, const BackwardOptions& options) const {
  if (!requires_grad()) fail(ErrorKind::value, "backward", "this variable depends on nothing that requires a gradient");
  Walk walk(std::span(this, 1));
  walk.add(node_, Var(seed));
  walk.run(false, !options.retain_graph);
}

void Var::on_grad(std::function<Var(const Var&)> hook) const {
  if (!requires_grad()) fail(ErrorKind::value, "on_grad", "this variable does not require a gradient");
  if (!hook) fail(ErrorKind::value, "on_grad", "expects a function, got an empty one");
  node_->hooks().push_back(std::move(hook));
}

std::vector<Var> grad(std::span<const Var> outputs, const VarList& inputs, const GradOptions& options) {
  if (!options.seeds.empty() && options.seeds.size() != outputs.size())
    fail(ErrorKind::value, "grad", "one seed per output is needed: ", outputs.size(), " outputs, but ",
         options.seeds.size(), " seeds");
  for (const Var& input : inputs)
    if (!input.requires_grad()) fail(ErrorKind::value, "grad", "an input does not require a gradient");
  Walk walk(outputs);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Var& output = outputs[i];
    if (!output.requires_grad()) continue;
    if (options.seeds.empty() && output.value().numel() != 1)
      fail(ErrorKind::shape, "grad", "output ", i, " has shape ", output.shape(),
           ": give seeds, or reduce it to a single element");
    walk.add(output.node(),
             options.seeds.empty() ? Var(Tensor::full(output.shape(), 1, output.dtype())) : options.seeds[i]);
  }
  walk.keep(inputs);
  walk.run(options.create_graph, !options.retain_graph && !options.create_graph);
  std::vector<Var> results;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const bool used = walk.reached_through(inputs[i].node());
    if (!used && !options.allow_unused)
      fail(ErrorKind::value, "grad", "input ", i,
           " does not influence the outputs. Pass {.allow_unused = true} for an undefined gradient");
    results.push_back(used ? walk.result(inputs[i].node()) : Var());
  }
  return results;
}

std::vector<Var> grad(const Var& output, const VarList& inputs, const GradOptions& options) {
  return grad(std::span(&output, 1), inputs, options);
}

Var grad(const Var& output, const Var& input, const GradOptions& options) {
  return grad(std::span(&output, 1), std::span(&input, 1), options)[0];
}

std::vector<Var> sweep_curvature(const Var& loss, std::span<const Var> inputs, bool release,
                                 const PassCurvature& pass) {
  Walk walk(std::span(&loss, 1));
  walk.carry_curvature(pass);
  walk.add(loss.node(), Tensor::ones(loss.shape(), loss.dtype()));
  walk.add_curvature(loss.node(), Tensor::zeros(loss.shape(), loss.dtype()));
  if (!inputs.empty()) walk.keep(inputs);
  walk.run(false, release);
  std::vector<Var> results;
  for (const Var& input : inputs)
    results.push_back(walk.reached_through(input.node()) ? walk.curvature(input.node()) : Var());
  return results;
}

}  // namespace gradus
