// What can be traced, what cannot, and what the messages say.
#include "models/onnx/trace.h"

#include <functional>

#include "autograd/autocast.h"
#include "layers/embedding.h"
#include "layers/linear.h"
#include "models/mlp.h"
#include "models/onnx/export.h"
#include "models/onnx/graph.h"
#include "tests/data/temporary_folder.h"
#include "tests/models/formula.h"

using namespace gradus;

namespace {

std::string refusal(Module& model, const Shape& input = {1, 6}) {
  const TemporaryFolder folder;
  const std::string message = error_of([&] { export_onnx(folder / "x.onnx", model, input); });
  CHECK(contains(message, "[export_onnx] "));
  CHECK(!std::filesystem::exists(folder / "x.onnx"));
  return message;
}

std::string refusal(std::function<Var(const Var&)> forward, const Shape& input = {1, 6}) {
  Formula model(std::move(forward));
  return refusal(model, input);
}

/// A model with two layers and two buffers of ones that does with them what it is told.
class WithBuffers : public Module {
 public:
  using Forward = Var (*)(WithBuffers& model, const Var& x);
  explicit WithBuffers(Forward forward)
      : a(child("a", Linear(6, 6))),
        b(child("b", Linear(6, 6))),
        mean(buffer("mean", Tensor::ones({6}))),
        variance(buffer("variance", Tensor::ones({6}))),
        forward_(forward) {}
  Var forward(const Var& x) override { return forward_(*this, x); }

  Linear &a, &b;
  Tensor mean, variance;

 private:
  Forward forward_;
};

std::string refusal(WithBuffers::Forward forward) {
  WithBuffers model(forward);
  const std::string message = refusal(model);
  for (const Tensor& buffer : {model.mean, model.variance})
    CHECK(buffer.to_vector<float>() == std::vector<float>(6, 1.0f));
  return message;
}

}  // namespace

TEST_CASE("a trace is the operations that reach the output, with the batch free in every shape") {
  Formula model([](const Var& x) {
    const Var unused = exp(x);
    return reshape(relu(x), {x.size(0) * 2, 3});
  });
  const onnx::Trace trace = onnx::trace_model(model, {1, 6});
  REQUIRE(trace.operations.size() == 2);
  CHECK(std::string(trace.operations[0].name) == "relu");
  CHECK(std::string(trace.operations[1].name) == "reshape");
  CHECK(trace.values[static_cast<size_t>(trace.input)].shape == Shape{-1, 6});
  CHECK(trace.values[static_cast<size_t>(trace.output)].shape == Shape{-1, 3});
}

TEST_CASE("tracers nest, and the innermost sees") {
  std::vector<std::string> outer, inner;
  const Var x = Var::leaf(Tensor::ones({2}));
  const Tracer first([&](const TracedOperation& op) { outer.emplace_back(op.name); });
  {
    const Tracer second([&](const TracedOperation& op) { inner.emplace_back(op.name); });
    exp(x);
  }
  leaky_relu(x, 0.25);
  CHECK(inner == std::vector<std::string>{"exp"});
  CHECK(outer == std::vector<std::string>{"leaky_relu"});
}

TEST_CASE("the model returns to the mode it was in") {
  const TemporaryFolder folder;
  Mlp model(6, 2, {.hidden = {3}, .dropout = 0.5});
  export_onnx(folder / "x.onnx", model, {1, 6});
  CHECK(model.training());
}

TEST_CASE("an operation without a form is named") {
  CHECK(contains(refusal([](const Var& x) { return mse_loss(x, x * 2.0, Reduction::none) + dropout(x, 0.5, {}); }),
                 "the operation 'dropout' has no ONNX form"));
}

TEST_CASE("a layer that is a plain member is refused, since its weights are none of the model's") {
  class Plain : public Module {
   public:
    Plain() : known_(child("known", Linear(6, 4))) {}
    Var forward(const Var& x) override { return forgotten_(known_(x)); }

   private:
    Linear& known_;
    Linear forgotten_{4, 2};
  } plain;
  const TemporaryFolder folder;
  CHECK(error_of([&] {
          export_onnx(folder / "x.onnx", plain, {1, 6});
        }) ==
        "[export_onnx] the operation 'linear' takes a trained tensor [2,4] that is none of the model's parameters. A "
        "layer that is a plain member is neither trained nor saved: register it with child(), and a tensor with "
        "parameter()");
}

TEST_CASE("tokens go into an embedding as they come, and are drawn from two halves") {
  class Lookup : public Module {
   public:
    explicit Lookup(Tensor (*taken)(const Tensor&)) : table_(child("table", Embedding(11, 3))), taken_(taken) {}
    Var forward(const Var& x) override { return relu(table_(taken_(x.value()))); }

   private:
    Embedding& table_;
    Tensor (*taken_)(const Tensor&);
  };
  const auto whole = [](const Tensor& x) { return x; };
  static double lowest[2], highest[2];
  static int runs;
  runs = 0;
  Lookup model([](const Tensor& x) {
    lowest[runs] = min(x).item(), highest[runs++] = max(x).item();
    return x;
  });
  const onnx::Trace trace = onnx::trace_model(model, {1, 200}, 11);
  CHECK(lowest[0] == 0);
  CHECK(highest[0] == 5);
  CHECK(lowest[1] == 5);
  CHECK(highest[1] == 10);
  REQUIRE(trace.operations.size() == 2);
  CHECK(std::string(trace.operations[0].name) == "embedding");
  CHECK(trace.operations[0].inputs.back() == trace.input);
  CHECK(trace.operations[0].attributes.empty());
  CHECK(trace.values[static_cast<size_t>(trace.input)].var.dtype() == DType::int64);
  CHECK(trace.values[static_cast<size_t>(trace.input)].shape == Shape{-1, 200});

  const auto said = [](Tensor (*taken)(const Tensor&), int64_t tokens) {
    const TemporaryFolder folder;
    Lookup lookup(taken);
    return error_of([&] { export_onnx(folder / "x.onnx", lookup, {1, 4}, {.tokens = tokens}); });
  };
  CHECK(contains(said([](const Tensor& x) { return slice(x, 1, 0, 2); }, 11),
                 "operation 1 of the model, 'embedding', differs between two inputs"));
  CHECK(contains(said([](const Tensor& x) { return transpose(x, 0, 1); }, 11), "'embedding', differs"));
  CHECK(contains(said(whole, 0), "[embedding] the index needs int64, got float32"));
  CHECK(said(whole, -1) == "[export_onnx] expects a number of tokens, or 0 for an input of float32, got -1");
}

TEST_CASE("a model whose constants or course depend on the input or its batch size is refused") {
  CHECK(contains(refusal([](const Var& x) { return x * sign(x.value()); }),
                 "operation 1 of the model, 'mul', differs between two inputs of batch sizes 2 and 3"));
  CHECK(contains(refusal([](const Var& x) { return x * (1.0 / static_cast<double>(x.size(0))); }), "'mul', differs"));
  CHECK(contains(refusal([](const Var& x) { return x.size(0) == 3 ? exp(relu(x)) : relu(x); }),
                 "operation 2 of the model, 'exp', differs"));
  CHECK(contains(refusal([](const Var& x) { return x.size(0) == 2 ? exp(x) : relu(x); }), "operation 1"));
  CHECK(contains(refusal([](const Var& x) { return sum(x.value()).item() > 0 ? exp(x) : relu(x); }), "operation 1"));
  CHECK(
      contains(refusal([](const Var& x) { return max(abs(x.value())).item() > 5 ? exp(x) : relu(x); }), "operation 1"));
  CHECK(contains(refusal([](const Var& x) {
                   return reshape(matmul(x, transpose(x, 0, 1)), {x.size(0), 1, x.size(0)});
                 }),
                 "the operation 'reshape' makes two extents that depend on the batch size"));
  CHECK(contains(refusal([](const Var& x) { return unsqueeze(matmul(x, transpose(x, 0, 1)), 0); }),
                 "the operation 'unsqueeze' makes two extents that depend on the batch size"));
  CHECK(contains(refusal([](const Var& x) {
                   return expand(sum(x), {x.size(0) * 2, 3});
                 }),
                 "an expand makes an extent that depends on the batch size but is not the batch size"));
  CHECK(contains(refusal([](const Var& x) { return where(greater(x.value(), 0), x, x * 2.0); }), "'where', differs"));
}

TEST_CASE("a model that returns one or the other of two values is refused") {
  const std::string why =
      "[export_onnx] the model returns the result of one operation for an input of batch size 2, and that of another";
  CHECK(contains(refusal([](const Var& x) {
                   const Var a = exp(x), b = relu(x);
                   return sum(x.value()).item() > 0 ? a : b;
                 }),
                 why));
  CHECK(contains(refusal([](const Var& x) {
                   const Var a = exp(x);
                   return x.size(0) == 2 ? a : x;
                 }),
                 why));
  CHECK(contains(refusal([](WithBuffers& model, const Var& x) {
                   const Var a = model.a(x), b = model.b(x);
                   return sum(x.value()).item() > 0 ? a : b;
                 }),
                 why));
}

TEST_CASE("a model that takes one or the other of two layers, or views of one tensor, is refused") {
  CHECK(contains(
      refusal([](WithBuffers& model, const Var& x) { return sum(x.value()).item() > 0 ? model.a(x) : model.b(x); }),
      "operation 1 of the model, 'linear', differs"));
  const Tensor basis = random_normal({6, 6}, 0, 1, {.seed = 3});
  CHECK(contains(refusal([&](const Var& x) { return matmul(x, x.size(0) == 2 ? basis : transpose(basis, 0, 1)); }),
                 "operation 1 of the model, 'matmul', differs"));
}

TEST_CASE("a model that writes in place into what it computes with is refused, and its buffers are put back") {
  CHECK(refusal([](WithBuffers& model, const Var& x) {
          copy_(model.mean, mean(x.value(), {0}));
          return x - Var(model.mean);
        }) ==
        "[export_onnx] forward writes in place into the tensor mean of operation 1 of the model, 'sub': a graph's "
        "constants are fixed and its values are written once. Compute it with operations on variables, or write it "
        "only in training mode");
  // What an operation is told is a constant too.
  CHECK(contains(refusal([](WithBuffers& model, const Var& x) {
                   const Var y = batch_norm_apply(x, {}, {}, model.mean, model.variance, 1e-5);
                   fill_(model.variance, 2);
                   return y;
                 }),
                 "into the tensor variance of operation 1 of the model, 'batch_norm_apply'"));
  // Written in the first run only, or in the second.
  CHECK(contains(refusal([](WithBuffers& model, const Var& x) {
                   if (model.mean.to_vector<float>()[0] == 1) copy_(model.mean, mean(x.value(), {0}));
                   return relu(x) * Var(slice(model.mean, 0, 1, 2));
                 }),
                 "into the tensor mean of operation 2 of the model, 'mul'"));
  CHECK(contains(refusal([](const Var& x) {
                   Var y = relu(x);
                   if (x.size(0) == 3) fill_(y.mutable_value(), 1);
                   return exp(y);
                 }),
                 "into a tensor [3,6] of operation 1 of the model, 'relu'"));
  CHECK(contains(refusal([](WithBuffers& model, const Var& x) {
                   Tensor weight = model.a.weight().value();
                   fill_(weight, static_cast<double>(x.size(0)));
                   return model.a(x);
                 }),
                 "into the tensor a.weight of operation 1 of the model, 'linear'"));
  CHECK(contains(refusal([](const Var& x) {
                   Tensor values = x.value();
                   fill_(values, 1);
                   return exp(x);
                 }),
                 "into a tensor [2,6] of operation 1 of the model, 'exp'"));
}

TEST_CASE("a model that writes what its output does not come from is exported, and its buffers are put back") {
  WithBuffers model([](WithBuffers& self, const Var& x) {
    const Var deviation = x - Var(self.mean);
    copy_(self.mean, mean(deviation.value(), {0}));
    return relu(x);
  });
  const TemporaryFolder folder;
  export_onnx(folder / "x.onnx", model, {1, 6});
  CHECK(std::filesystem::exists(folder / "x.onnx"));
  CHECK(model.mean.to_vector<float>() == std::vector<float>(6, 1.0f));
}

TEST_CASE("a model under Autocast is refused, whoever opened the scope") {
  const std::string message =
      "[export_onnx] the model computes under an Autocast, but runtimes hardly know bfloat16: export outside of its "
      "scope, and open none in forward";
  CHECK(refusal([](WithBuffers& model, const Var& x) {
          const Autocast scope(DType::bfloat16);
          return model.a(x);
        }) == message);
  Mlp model(6, 2, {.hidden = {}});
  const Autocast scope(DType::bfloat16);
  CHECK(refusal(model) == message);
}

TEST_CASE("a model that leaves the tape is refused") {
  CHECK(contains(refusal([](const Var& x) { return Var(relu(x.value())); }), "does not come from its input"));
  CHECK(contains(refusal([](const Var& x) { return x; }, {0, 6}), "no extent of 0, got [0,6]"));
  const NoGrad none;
  CHECK(contains(refusal([](const Var& x) { return relu(x); }), "a NoGrad is alive"));
}

TEST_CASE("weights beyond 2 GiB are refused before they are copied") {
  onnx::Graph graph;
  const Tensor large = expand(Tensor::zeros({1}), {int64_t{1} << 29});
  CHECK(contains(error_of([&] { graph.initializer("w", large); }), "2 GiB"));
}
