#include "models/onnx/trace.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>

#include "autograd/autocast.h"
#include "core/error.h"
#include "core/ops.h"
#include "core/random.h"

namespace gradus::onnx {
namespace {

constexpr int64_t first_batch = 2, second_batch = 3;

/// The second input has another sign and size, or tokens from the other half, so that a branch on either is seen to
/// take another way.
Var input_of(const Shape& shape, int64_t tokens) {
  const bool second = shape[0] == second_batch;
  const RandomKey key{.seed = 1, .stream = static_cast<uint64_t>(shape[0])};
  if (tokens == 0) return Var::leaf(random_uniform(shape, second ? -30 : 0, second ? -10 : 1, key));
  Generator random(key.seed, key.stream);
  const int64_t half = tokens - tokens / 2;
  std::vector<int64_t> values(static_cast<size_t>(numel(shape)));
  for (int64_t& value : values)
    value = static_cast<int64_t>(random.below(static_cast<uint64_t>(half))) + (second ? tokens - half : 0);
  return Tensor::from(values, shape);
}

/// While one lives, every parameter is trained: the tape records no operation on frozen ones alone. Then each is frozen
/// again that was.
class ThawScope {
 public:
  explicit ThawScope(const Module& model) {
    for (const Parameter& parameter : model.parameters())
      if (!parameter.requires_grad()) frozen_.push_back(parameter);
    set_requires_grad(true);
  }
  ~ThawScope() { set_requires_grad(false); }
  ThawScope(const ThawScope&) = delete;
  ThawScope& operator=(const ThawScope&) = delete;

 private:
  void set_requires_grad(bool on) const {
    for (const Parameter& parameter : frozen_) parameter.set_requires_grad(on);
  }
  std::vector<Parameter> frozen_;
};

/// While one lives, a model may write into its buffers; then those that it wrote get the values that they had.
class KeptBuffers {
 public:
  explicit KeptBuffers(const Module& model) : buffers_(model.state()) {
    for (const Parameter& parameter : model.parameters()) buffers_.erase(parameter.name());
    values_ = clone(buffers_);
    for (const auto& [name, buffer] : buffers_) versions_[name] = buffer.version();
  }
  ~KeptBuffers() {
    for (auto& [name, buffer] : buffers_)
      if (buffer.version() != versions_[name]) copy_(buffer, values_[name]);
  }
  KeptBuffers(const KeptBuffers&) = delete;
  KeptBuffers& operator=(const KeptBuffers&) = delete;

 private:
  StateDict buffers_, values_;
  std::map<std::string, uint64_t> versions_;
};

/// How often the memory of tensors had been written when they were first seen.
class FirstVersions {
 public:
  void see(const Tensor& tensor) { versions_.try_emplace(tensor.storage().data(), tensor.version()); }
  bool written_since(const Tensor& tensor) const { return versions_.at(tensor.storage().data()) != tensor.version(); }

 private:
  std::map<const void*, uint64_t> versions_;  // of memory that the state of the model and the traces keep alive
};

/// Calls `see` with every tensor that the operation takes, is told or makes.
void visit_tensors(const Trace& trace, const Operation& operation, const std::function<void(const Tensor&)>& see) {
  for (int value : operation.inputs)
    if (value >= 0) see(trace.values[static_cast<size_t>(value)].var.value());
  for (const Attribute& attribute : operation.attributes)
    if (const Tensor* tensor = std::get_if<Tensor>(&attribute.value)) see(*tensor);
  see(trace.values[static_cast<size_t>(operation.output)].var.value());
}

bool same_view(const Tensor& a, const Tensor& b) {
  return a.raw() == b.raw() && a.shape() == b.shape() && a.strides() == b.strides() && a.dtype() == b.dtype();
}

Trace run(Module& model, Shape shape, int64_t batch, int64_t tokens, FirstVersions& versions) {
  shape[0] = batch;
  Trace trace;
  std::map<const Node*, int> numbers;  // nodes live as long as trace.values does
  const auto number = [&](const Var& var) {
    if (!var.defined()) return -1;
    const int next = static_cast<int>(trace.values.size());
    if (var.node()) {
      const auto [found, fresh] = numbers.emplace(var.node().get(), next);
      if (!fresh) return found->second;
    }
    trace.values.push_back({var, var.shape(), {}});
    return next;
  };
  const Var input = input_of(shape, tokens);
  trace.input = number(input);
  versions.see(input.value());
  const Tracer tracer([&](const TracedOperation& operation) {
    if (autocasting())
      fail(ErrorKind::value, "export_onnx",
           "the model computes under an Autocast, but runtimes hardly know bfloat16: export outside of its scope, and "
           "open none in forward");
    Operation traced{operation.name, {}, 0, operation.attributes};
    for (const Var& var : operation.inputs) traced.inputs.push_back(number(var));
    // Tokens are no variable that is differentiated: an operation is told them, and here they become its last input.
    if (std::erase_if(traced.attributes, [&](const Attribute& attribute) {
          const Tensor* tensor = std::get_if<Tensor>(&attribute.value);
          return tensor != nullptr && same_view(*tensor, input.value());
        }) != 0)
      traced.inputs.push_back(trace.input);
    traced.output = number(operation.output);
    visit_tensors(trace, traced, [&](const Tensor& tensor) { versions.see(tensor); });
    trace.operations.push_back(std::move(traced));
  });
  trace.output = number(model(input));
  return trace;
}

bool same(const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape()) || a.dtype() != b.dtype()) return false;
  return same_view(a, b) || a.to_bytes() == b.to_bytes();
}

bool same(const Attribute& a, const Attribute& b) {
  if (std::strcmp(a.name, b.name) != 0 || a.value.index() != b.value.index()) return false;
  if (const Tensor* tensor = std::get_if<Tensor>(&a.value)) return same(*tensor, std::get<Tensor>(b.value));
  if (const Dims* dims = std::get_if<Dims>(&a.value)) return *dims == std::get<Dims>(b.value);
  if (const double* number = std::get_if<double>(&a.value)) return *number == std::get<double>(b.value);
  return std::get<int64_t>(a.value) == std::get<int64_t>(b.value);
}

bool same(const Operation& a, const Operation& b) {
  return std::strcmp(a.name, b.name) == 0 && a.inputs == b.inputs && a.output == b.output &&
         std::equal(a.attributes.begin(), a.attributes.end(), b.attributes.begin(), b.attributes.end(),
                    [](const Attribute& x, const Attribute& y) { return same(x, y); });
}

[[noreturn]] void differs(size_t position, const char* name) {
  fail(ErrorKind::value, "export_onnx", "operation ", position + 1, " of the model, '", name,
       "', differs between two inputs of batch sizes 2 and 3: a graph is fixed, so its course and its constants may "
       "depend neither on the input's values nor on the batch size");
}

/// That both runs did the same with the same constants and parameters, and returned the same.
void check_same(const Trace& trace, const Trace& other) {
  std::vector<bool> computed(trace.values.size());
  computed[static_cast<size_t>(trace.input)] = true;
  for (size_t i = 0; i < trace.operations.size(); ++i) {
    const Operation& operation = trace.operations[i];
    bool equal = i < other.operations.size() && same(operation, other.operations[i]);
    for (int value : operation.inputs) {
      if (!equal || value < 0 || computed[static_cast<size_t>(value)]) continue;
      equal = same(trace.values[static_cast<size_t>(value)].var.value(),
                   other.values[static_cast<size_t>(value)].var.value());
    }
    if (!equal) differs(i, operation.name);
    computed[static_cast<size_t>(operation.output)] = true;
  }
  if (other.operations.size() > trace.operations.size())
    differs(trace.operations.size(), other.operations[trace.operations.size()].name);
  if (trace.output != other.output)
    fail(ErrorKind::value, "export_onnx",
         "the model returns the result of one operation for an input of batch size 2, and that of another for one of "
         "batch size 3: a graph is fixed, so which it is may depend neither on the input's values nor on the batch "
         "size");
}

/// That operation `position` of a run saw nothing that the model wrote in place.
void check_unwritten(const Trace& trace, size_t position, const FirstVersions& versions, const StateDict& state) {
  const Operation& operation = trace.operations[position];
  visit_tensors(trace, operation, [&](const Tensor& tensor) {
    if (!versions.written_since(tensor)) return;
    const auto own =
        std::ranges::find_if(state, [&](const auto& entry) { return entry.second.storage() == tensor.storage(); });
    fail(ErrorKind::value, "export_onnx", "forward writes in place into ",
         own == state.end() ? text("a tensor ", tensor.shape()) : "the tensor " + own->first, " of operation ",
         position + 1, " of the model, '", operation.name,
         "': a graph's constants are fixed and its values are written once. Compute it with operations on variables, "
         "or write it only in training mode");
  });
}

}  // namespace

bool Trace::is_batch(int value, int d) const {
  const Value &y = values[static_cast<size_t>(value)], &x = values[static_cast<size_t>(input)];
  return y.var.size(d) == x.var.size(0) && y.second[d] == x.second[0];
}

Trace trace_model(Module& model, const Shape& input, int64_t tokens) {
  if (input.empty() || numel(input) < 1)
    fail(ErrorKind::value, "export_onnx", "expects an input shape with the batch extent first and no extent of 0, got ",
         input);
  if (tokens < 0)
    fail(ErrorKind::value, "export_onnx", "expects a number of tokens, or 0 for an input of float32, got ", tokens);
  if (!recording()) fail(ErrorKind::value, "export_onnx", "needs the tape, but a NoGrad is alive on this thread");
  const EvalScope evaluation(model);
  const ThawScope thawed(model);
  const KeptBuffers buffers(model);
  const StateDict state = model.state();
  FirstVersions versions;
  for (const auto& [name, tensor] : state) versions.see(tensor);
  Trace trace = run(model, input, first_batch, tokens, versions);
  const Trace other = run(model, input, second_batch, tokens, versions);
  check_same(trace, other);

  for (size_t i = 0; i < trace.values.size(); ++i) {
    Shape& shape = trace.values[i].shape;
    const Shape& second = trace.values[i].second = other.values[i].shape;
    for (int d = 0; d < shape.rank() && d < second.rank(); ++d)
      if (shape[d] != second[d]) shape[d] = -1;
  }
  // What reaches the output, backwards from it.
  std::vector<bool> reaches(trace.values.size());
  reaches[static_cast<size_t>(trace.output)] = true;
  for (auto op = trace.operations.rbegin(); op != trace.operations.rend(); ++op)
    for (int value : op->inputs)
      if (value >= 0 && reaches[static_cast<size_t>(op->output)]) reaches[static_cast<size_t>(value)] = true;
  if (!reaches[static_cast<size_t>(trace.input)])
    fail(ErrorKind::value, "export_onnx", "the output of ", model.describe(),
         " does not come from its input by operations on variables; value() and detach() end the trace");
  for (size_t i = 0; i < trace.operations.size(); ++i) {
    if (!reaches[static_cast<size_t>(trace.operations[i].output)]) continue;
    check_unwritten(trace, i, versions, state);
    check_unwritten(other, i, versions, state);
  }
  std::erase_if(trace.operations, [&](const Operation& op) { return !reaches[static_cast<size_t>(op.output)]; });
  return trace;
}

}  // namespace gradus::onnx
