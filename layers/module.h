// The base of every layer and model: a tree of named children, parameters and buffers.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "autograd/ops.h"
#include "autograd/parameter.h"
#include "core/state_dict.h"

namespace gradus {

/// Derive, register parts in the constructor's initializer list, and override forward:
///
///   class Mlp : public Module {
///    public:
///     Mlp() : hidden_(child("hidden", Linear(784, 100))), head_(child("head", Linear(100, 10))) {}
///     Var forward(const Var& x) override { return head_(relu(hidden_(x))); }
///    private:
///     Linear& hidden_;
///     Linear& head_;
///   };
///
/// Children live on the heap and keep their addresses when a module is moved. Modules cannot be copied; one that was
/// moved from refuses to be called and to list its parts.
class Module {
 public:
  Module();
  virtual ~Module();
  Module(Module&&) noexcept;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// One input, one output. A module of another signature has an operator() of its own instead, which CallObserver, and
  /// with it summary() and export_onnx(), do not see.
  virtual Var forward(const Var& x);
  /// forward(), seen by a CallObserver.
  Var operator()(const Var& x);

  /// "Conv2d(3, 96, kernel 3)": for summaries.
  virtual std::string describe() const { return "Module"; }
  /// Multiplications with following addition that this module itself, without its children, does for these shapes.
  virtual int64_t macs(const Shape& /*input*/, const Shape& /*output*/) const { return 0; }

  /// Every parameter of the tree in order of registration (own first, then children), with its full name.
  std::vector<Parameter> parameters() const;
  /// Drops the gradients of all of them.
  void zero_grad() const;
  /// Freezes all of them, or thaws them: frozen ones get no gradient, so that optimizers leave them alone, and
  /// backward() stops where nothing below is to be trained. Running statistics are updated all the same; eval() stops
  /// those.
  void set_requires_grad(bool on) const;
  /// Number of parameters' elements.
  int64_t parameter_count() const;

  /// Parameters and buffers by full name; the tensors share memory with the module.
  StateDict state() const;
  /// Copies values in. Throws one error that lists every missing, unexpected and mis-shaped name; nothing is changed
  /// then. Throws also where all tensors are the model's own, which clone(model.state()) would have kept.
  void load(const StateDict& state);
  /// Copies in what fits by name, shape and dtype, and returns what does not; that part of the model stays as it was.
  /// Throws where nothing fits.
  [[nodiscard]] StateDifference load_fitting(const StateDict& state);

  void train(bool on = true);
  void eval() { train(false); }
  bool training() const { return training_; }

  /// Seeds what the layers of the tree draw (dropout): module i of visit()'s order gets random stream i, and the root,
  /// 0 in that order, stream 2^63, so that it never draws what manual_seed() of the same seed gave the weights. A
  /// module that was never seeded draws from manual_seed()'s seed, in a stream of its own.
  void seed(uint64_t seed);
  /// Says which training step comes. Draws are a pure function of (seed, layer, step, number of the layer's calls since
  /// set_step), so a resumed run that says the step draws what the uninterrupted one drew. A program that never says it
  /// still draws anew in every call.
  void set_step(uint64_t step);

  const std::vector<std::pair<std::string, std::unique_ptr<Module>>>& children() const { return children_; }
  /// Calls `see` with the full name ("" for this module) of every module of the tree, parents before their children.
  void visit(const std::function<void(const std::string& name, Module& module)>& see);

 protected:
  /// Registers a layer and returns it. Throws where the name is taken, empty, or contains a dot.
  template <class M>
  M& child(std::string name, M module) {
    auto owned = std::make_unique<M>(std::move(module));
    M& reference = *owned;
    add_child(std::move(name), std::move(owned));
    return reference;
  }
  void add_child(std::string name, std::unique_ptr<Module> module);
  /// Registers a trainable tensor, which is floating; info.name is set to `name`. Under a DefaultDType it is a copy.
  Parameter parameter(std::string name, const Tensor& value, ParamInfo info = {});
  /// Registers a tensor that is saved but not trained; write what this returns in place.
  Tensor buffer(std::string name, const Tensor& value);
  /// The key of this module's next draw, for a tensor of up to 2^34 elements.
  RandomKey next_draw();

 private:
  friend class EvalScope;
  void check_name(const std::string& name) const;
  void check_not_moved() const;
  void visit(const std::string& prefix, const std::function<void(const std::string&, Module&)>& see);
  void collect(const std::string& prefix, std::vector<Parameter>& parameters) const;
  void collect(const std::string& prefix, StateDict& state) const;

  std::vector<std::pair<std::string, Parameter>> parameters_;
  std::vector<std::pair<std::string, Tensor>> buffers_;
  std::vector<std::pair<std::string, std::unique_ptr<Module>>> children_;
  bool training_ = true, moved_from_ = false;
  struct {
    uint64_t seed = 0, stream = 0, step = 0, calls = 0;
  } random_;
};

/// While one lives, modules that are built on this thread have parameters and buffers of this dtype where they would
/// have float32: float64 for a model that computes as exactly as the reference, on inputs that are float64 too. Initial
/// values are drawn in float32, so that after equal seeds such a model begins with the numbers of the float32 one.
class DefaultDType {
 public:
  /// Throws ErrorKind::value for a dtype other than float32 and float64.
  [[nodiscard]] explicit DefaultDType(DType dtype);
  ~DefaultDType();
  DefaultDType(const DefaultDType&) = delete;
  DefaultDType& operator=(const DefaultDType&) = delete;

 private:
  DType before_;
};

/// While one lives, every module of the tree is in evaluation mode; then each returns to the mode it had.
class EvalScope {
 public:
  [[nodiscard]] explicit EvalScope(Module& model);
  ~EvalScope();
  EvalScope(const EvalScope&) = delete;
  EvalScope& operator=(const EvalScope&) = delete;

 private:
  std::vector<Module*> were_training_;
};

/// While one lives, it sees every module called on this thread, after the call. They nest; the innermost sees.
class CallObserver {
 public:
  using See = std::function<void(const Module& module, const Var& input, const Var& output)>;
  explicit CallObserver(See see);
  ~CallObserver();
  CallObserver(const CallObserver&) = delete;
  CallObserver& operator=(const CallObserver&) = delete;

 private:
  friend class Module;
  See see_;
  CallObserver* outer_;
};

}  // namespace gradus
