// The base of every layer and model: a tree of named children, parameters and buffers.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "autograd/ops.h"
#include "autograd/parameter.h"

namespace gradus {

/// Tensors by full name ("layer1.0.conv1.weight", "bn1.running_mean"), as PyTorch names them.
using StateDict = std::map<std::string, Tensor>;

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
/// Children live on the heap and keep their addresses when a module is moved. Modules cannot be copied.
class Module {
 public:
  Module();
  virtual ~Module();
  Module(Module&&) noexcept;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// One input, one output. A module of another signature need not override it.
  virtual Var forward(const Var& x);
  Var operator()(const Var& x) { return forward(x); }

  /// "Conv2d(3, 96, kernel 3)": for summaries.
  virtual std::string describe() const { return "Module"; }

  /// Every parameter of the tree in order of registration (own first, then children), with its full name.
  std::vector<Parameter> parameters() const;
  /// Number of parameters' elements.
  int64_t parameter_count() const;

  /// Parameters and buffers by full name; the tensors share memory with the module.
  StateDict state() const;
  /// Copies values in. Throws one error that lists every missing, unexpected and mis-shaped name; nothing is changed then.
  void load(const StateDict& state);

  void train(bool on = true);
  void eval() { train(false); }
  bool training() const { return training_; }
  /// Seeds the random streams of every layer that draws (dropout): layer i of the tree gets stream i.
  void seed(uint64_t seed);

  const std::vector<std::pair<std::string, std::unique_ptr<Module>>>& children() const { return children_; }

 protected:
  /// Registers a layer and returns it. Throws where the name is taken or contains a dot.
  template <class M>
  M& child(std::string name, M module) {
    auto owned = std::make_unique<M>(std::move(module));
    M& reference = *owned;
    add_child(std::move(name), std::move(owned));
    return reference;
  }
  void add_child(std::string name, std::unique_ptr<Module> module);
  /// Registers a trainable tensor; info.name is set to `name`.
  Parameter parameter(std::string name, const Tensor& value, ParamInfo info = {});
  /// Registers a tensor that is saved but not trained; write it in place.
  Tensor buffer(std::string name, const Tensor& value);

  /// Called by seed() on every module of the tree.
  virtual void set_random_key(const RandomKey& /*key*/) {}

 private:
  std::vector<std::pair<std::string, Parameter>> parameters_;
  std::vector<std::pair<std::string, Tensor>> buffers_;
  std::vector<std::pair<std::string, std::unique_ptr<Module>>> children_;
  bool training_ = true;
};

}  // namespace gradus
