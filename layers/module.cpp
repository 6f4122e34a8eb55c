// The tree of modules: registration, names, state, modes and random streams.
#include "layers/module.h"

#include <algorithm>
#include <utility>

#include "core/check_defined.h"
#include "core/error.h"
#include "layers/init.h"

namespace gradus {
namespace {

thread_local CallObserver* innermost_observer = nullptr;
thread_local DType default_dtype = DType::float32;

// Of the root of a seeded tree, whose number is 0: manual_seed() draws weights from stream 0.
constexpr uint64_t root_stream = uint64_t{1} << 63;

Tensor in_default_dtype(const Tensor& x) { return x.dtype() == DType::float32 ? cast(x, default_dtype) : x; }

std::string join(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

}  // namespace

Module::Module() {
  const RandomKey key = detail::next_module_key();
  random_.seed = key.seed;
  random_.stream = key.stream;
}

Module::~Module() = default;
Module::Module(Module&& other) noexcept
    : parameters_(std::move(other.parameters_)),
      buffers_(std::move(other.buffers_)),
      children_(std::move(other.children_)),
      training_(other.training_),
      moved_from_(std::exchange(other.moved_from_, true)),
      random_(other.random_) {}

Var Module::forward(const Var&) {
  fail(ErrorKind::value, "module", describe(), " does not define forward(const Var&)");
}

void Module::check_not_moved() const {
  if (moved_from_)
    fail(ErrorKind::value, "module",
         "this module was moved from: use the one that it was moved into, which child() returns");
}

Var Module::operator()(const Var& x) {
  check_not_moved();
  Var y = forward(x);
  if (innermost_observer != nullptr) innermost_observer->see_(*this, x, y);
  return y;
}

void Module::check_name(const std::string& name) const {
  if (name.empty() || name.find('.') != std::string::npos)
    fail(ErrorKind::value, "module", "a part of ", describe(), " cannot be named \"", name,
         "\": names are not empty and have no dot");
  const auto taken = [&name](const auto& parts) {
    for (const auto& part : parts)
      if (part.first == name) return true;
    return false;
  };
  if (taken(parameters_) || taken(buffers_) || taken(children_))
    fail(ErrorKind::value, "module", describe(), " already has a part named \"", name, "\"");
}

void Module::add_child(std::string name, std::unique_ptr<Module> module) {
  check_name(name);
  if (!module) fail(ErrorKind::value, "module", "the child \"", name, "\" is null");
  children_.emplace_back(std::move(name), std::move(module));
}

Parameter Module::parameter(std::string name, const Tensor& value, ParamInfo info) {
  check_name(name);
  if (!value.defined()) check::fail_undefined("module", text("the parameter \"", name, "\"").c_str());
  info.name = name;
  parameters_.emplace_back(std::move(name), Parameter(in_default_dtype(value), std::move(info)));
  return parameters_.back().second;
}

Tensor Module::buffer(std::string name, const Tensor& value) {
  check_name(name);
  if (!value.defined()) check::fail_undefined("module", text("the buffer \"", name, "\"").c_str());
  buffers_.emplace_back(std::move(name), in_default_dtype(value));
  return buffers_.back().second;
}

void Module::collect(const std::string& prefix, std::vector<Parameter>& parameters) const {
  for (const auto& [name, parameter] : parameters_) parameters.push_back(parameter.renamed(join(prefix, name)));
  for (const auto& [name, module] : children_) module->collect(join(prefix, name), parameters);
}

std::vector<Parameter> Module::parameters() const {
  check_not_moved();
  std::vector<Parameter> all;
  collect("", all);
  return all;
}

void Module::zero_grad() const {
  for (const Parameter& p : parameters()) p.clear_grad();
}

void Module::set_requires_grad(bool on) const {
  for (const Parameter& p : parameters()) p.set_requires_grad(on);
}

int64_t Module::parameter_count() const {
  int64_t count = 0;
  for (const Parameter& p : parameters()) count += p.value().numel();
  return count;
}

void Module::collect(const std::string& prefix, StateDict& state) const {
  for (const auto& [name, parameter] : parameters_) state[join(prefix, name)] = parameter.value();
  for (const auto& [name, tensor] : buffers_) state[join(prefix, name)] = tensor;
  for (const auto& [name, module] : children_) module->collect(join(prefix, name), state);
}

StateDict Module::state() const {
  check_not_moved();
  StateDict all;
  collect("", all);
  return all;
}

namespace {

/// That there is something to load: a state that was not cloned follows the model.
void check_not_own(const StateDict& own, const StateDict& given) {
  const auto is_own = [&](const auto& entry) {
    const Tensor& came = given.at(entry.first);
    return came.storage() == entry.second.storage() && came.offset() == entry.second.offset();
  };
  if (!own.empty() && std::all_of(own.begin(), own.end(), is_own))
    fail(ErrorKind::value, "load",
         "all these tensors are the model's own, as state() gives them: there is nothing to load. To keep a state, "
         "clone it: StateDict best = clone(model.state())");
}

}  // namespace

void Module::load(const StateDict& given) {
  StateDict own = state();
  check_same_state("the model", own, given, ". load_fitting() loads what fits and returns the rest");
  check_not_own(own, given);
  for (auto& [name, to] : own) copy_(to, given.at(name));
}

StateDifference Module::load_fitting(const StateDict& given) {
  StateDict fitting = state();
  StateDifference rest = state_difference(fitting, given);
  for (const std::string& name : rest.missing) fitting.erase(name);
  for (const auto& tensors : rest.different) fitting.erase(tensors.name);
  if (fitting.empty() && !rest.empty())
    fail(ErrorKind::value, "load", "nothing of the state fits the model; ", to_string(rest),
         ". Rename or cast() its tensors first");
  check_not_own(fitting, given);
  for (auto& [name, to] : fitting) copy_(to, given.at(name));
  return rest;
}

void Module::visit(const std::string& prefix, const std::function<void(const std::string&, Module&)>& see) {
  see(prefix, *this);
  for (const auto& [name, module] : children_) module->visit(join(prefix, name), see);
}

void Module::visit(const std::function<void(const std::string&, Module&)>& see) { visit("", see); }

void Module::train(bool on) {
  visit([on](const std::string&, Module& module) { module.training_ = on; });
}

void Module::seed(uint64_t seed) {
  uint64_t number = 0;
  visit([&](const std::string&, Module& module) {
    module.random_ = {};
    module.random_.seed = seed;
    module.random_.stream = number == 0 ? root_stream : number;
    ++number;
  });
}

void Module::set_step(uint64_t step) {
  visit([step](const std::string&, Module& module) {
    module.random_.step = step;
    module.random_.calls = 0;
  });
}

// Steps and calls take the upper halves of the two counters: a draw uses at most 2^32 blocks of four numbers.
RandomKey Module::next_draw() {
  return {random_.seed, random_.stream + (random_.calls++ << 32), random_.step << 32, true};
}

DefaultDType::DefaultDType(DType dtype) : before_(default_dtype) {
  if (dtype != DType::float32 && dtype != DType::float64)
    fail(ErrorKind::value, "module",
         "parameters are float32 or float64 (Autocast computes in bfloat16 from float32 parameters), got ", dtype);
  default_dtype = dtype;
}

DefaultDType::~DefaultDType() { default_dtype = before_; }

EvalScope::EvalScope(Module& model) {
  model.visit([this](const std::string&, Module& module) {
    if (module.training()) were_training_.push_back(&module);
  });
  model.eval();
}

EvalScope::~EvalScope() {
  for (Module* module : were_training_) module->training_ = true;
}

CallObserver::CallObserver(See see) : see_(std::move(see)), outer_(innermost_observer) { innermost_observer = this; }
CallObserver::~CallObserver() { innermost_observer = outer_; }

}  // namespace gradus
