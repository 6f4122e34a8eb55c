// Exported models are executed by onnxruntime, or onnx's reference evaluator, and agree with gradus.
#include "models/onnx/export.h"

#include <map>

#include "core/npy.h"
#include "core/ops.h"
#include "core/random.h"
#include "layers/attention.h"
#include "layers/container.h"
#include "layers/conv.h"
#include "layers/dropout.h"
#include "layers/embedding.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "layers/norm.h"
#include "layers/pool.h"
#include "models/all_cnn.h"
#include "models/mlp.h"
#include "models/resnet.h"
#include "tests/data/temporary_folder.h"
#include "tests/models/formula.h"
#include "tests/read_back.h"

using namespace gradus;

namespace {

/// Models under names, exported with an input of another batch size than those of the trace and the result for it.
class Exported {
 public:
  void add(const std::string& name, Module& model, const Shape& input, double low = -1, double high = 1) {
    export_onnx(folder_ / (name + ".onnx"), model, input);
    Shape shape = input;
    shape[0] = 5;
    save(name, model, random_uniform(shape, low, high, {.seed = 4}));
  }
  /// The same for a model that takes numbers below `tokens`.
  void add_tokens(const std::string& name, Module& model, const Shape& input, int64_t tokens) {
    export_onnx(folder_ / (name + ".onnx"), model, input, {.tokens = tokens});
    Shape shape = input;
    shape[0] = 5;
    Generator random(4);
    std::vector<int64_t> values(static_cast<size_t>(numel(shape)));
    for (int64_t& value : values) value = static_cast<int64_t>(random.below(static_cast<uint64_t>(tokens)));
    save(name, model, Tensor::from(values, shape));
  }
  void add(const std::string& name, std::function<Var(const Var&)> forward, const Shape& input, double low = -1,
           double high = 1) {
    Formula model(std::move(forward));
    add(name, model, input, low, high);
  }

  /// Every model's result within the tolerance, relative to 1 or the value.
  void check(double tolerance) {
    const std::string python = python_with("numpy, onnx");
    if (python.empty()) return;
    const nlohmann::json differences = read_back(python, "onnx " + folder_.path().string());
    CHECK(differences.size() == count_);
    for (const auto& [name, difference] : differences.items()) {
      const std::string model = name;
      CAPTURE(model);
      CHECK(difference.get<double>() <= tolerance);
    }
  }
  std::string file(const std::string& name) const { return folder_ / (name + ".onnx"); }

 private:
  void save(const std::string& name, Module& model, const Tensor& x) {
    const EvalScope evaluation(model);
    save_npy(folder_ / (name + ".input.npy"), x);
    save_npy(folder_ / (name + ".output.npy"), model(x).value());
    ++count_;
  }

  TemporaryFolder folder_;
  size_t count_ = 0;
};

/// Running averages other than 0 and 1, as after training.
void warm_up(Module& model, const Shape& input) {
  model.train();
  Shape shape = input;
  shape[0] = 4;
  model(random_normal(shape, 0.5, 2, {.seed = 9}));
}

}  // namespace

TEST_CASE("All-CNN-C and perceptrons agree with onnxruntime to 1e-4") {
  manual_seed(1);
  Exported models;
  for (AllCnnPadding padding : {AllCnnPadding::same, AllCnnPadding::one}) {
    AllCnn net({.padding = padding});
    models.add(padding == AllCnnPadding::same ? "all_cnn" : "all_cnn_one", net, {1, 3, 32, 32});
  }
  for (Activation activation : {Activation::relu, Activation::leaky_relu, Activation::gelu, Activation::silu,
                                Activation::softplus, Activation::tanh, Activation::sigmoid}) {
    Mlp net(48, 10, {.hidden = {20, 20}, .activation = activation, .dropout = 0.5});
    models.add(std::string("mlp_") + name(activation), net, {1, 3, 4, 4});
  }
  models.check(1e-4);
}

TEST_CASE("ResNet-18 and a bottleneck network agree with onnxruntime to 1e-4") {
  manual_seed(3);
  Exported models;
  const auto add = [&](const char* name, ResNet net, const Shape& input) {
    warm_up(net, input);
    models.add(name, net, input);
  };
  add("resnet18", resnet18(), {1, 3, 64, 64});
  add("resnet18_cifar", resnet18(10, {.stem = ResNetStem::cifar, .shortcut = ResNetShortcut::every_stage}),
      {1, 3, 16, 16});
  add("bottleneck", ResNet("bottleneck", ResNet::Block::bottleneck, {1, 1, 1, 1}, 5, {}), {1, 3, 32, 32});
  models.check(1e-4);
}

TEST_CASE("every layer agrees with onnxruntime") {
  manual_seed(2);
  Exported models;
  const Shape image = {1, 4, 9, 8};
  const auto add = [&](const std::string& name, auto layer, const Shape& input) {
    warm_up(layer, input);
    models.add(name, layer, input);
  };
  add("conv", Sequential(Conv2d(4, 6, {.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 0}, .dilation = {1, 2}})),
      image);
  add("conv_groups", Sequential(Conv2d(4, 6, {.kernel = 3, .padding = 1, .groups = 2, .bias = false})), image);
  add("conv_same",
      Sequential(Conv2d(4, 6, {.kernel = 3, .stride = 2, .padding = Padding::same, .activation = Activation::gelu})),
      image);
  add("conv_transpose",
      Sequential(ConvTranspose2d(4, 6,
                                 {.kernel = {3, 2},
                                  .stride = {2, 3},
                                  .padding = {1, 0, 0, 1},
                                  .output_padding = {1, 2},
                                  .activation = Activation::relu}),
                 ConvTranspose2d(6, 4, {.kernel = {2, 3}, .dilation = {3, 1}, .groups = 2, .bias = false})),
      image);
  add("pools",
      Sequential(MaxPool2d({.kernel = 3, .stride = 2, .padding = 1}),
                 AvgPool2d({.kernel = 2, .stride = 1, .padding = 1}),
                 AvgPool2d({.kernel = 3, .padding = Padding::same, .count_padding = false})),
      image);
  add("norms", Sequential(BatchNorm2d(4), GroupNorm(2, 4), LayerNorm(Shape{4, 9, 8})), image);
  add("plain norms",
      Sequential(BatchNorm2d(4, {.affine = false}), GroupNorm(4, 4, {.affine = false}),
                 LayerNorm(8, {.affine = false})),
      image);
  add("dense", Sequential(Flatten(), Linear(288, 7, {.bias = false}), BatchNorm1d(7), Tanh(), Dropout(), Linear(7, 3)),
      image);
  add("rows", Sequential(Linear(8, 5), ReLU()), image);
  add("attention", Sequential(SelfAttention(8, {.heads = 2}), SelfAttention(8, {.heads = 4, .causal = true})),
      {1, 5, 8});
  add("residual",
      Sequential(Residual(Sequential(Conv2d(4, 4, {.kernel = 3, .padding = 1}), BatchNorm2d(4)), Activation::relu),
                 Residual(Sequential(Conv2d(4, 6, {.kernel = 1, .stride = 2})),
                          Sequential(Conv2d(4, 6, {.kernel = 1, .stride = 2, .bias = false}))),
                 GlobalAvgPool2d(), Linear(6, 3)),
      image);
  add("upsample", Sequential(UpsampleNearest2d(3), Conv2d(4, 2, {.kernel = 3})), image);
  models.check(1e-5);
}

TEST_CASE("every operation that has a form agrees with onnxruntime") {
  Exported models;
  const Shape shape = {1, 6};
  const std::map<std::string, Var (*)(const Var&)> unary = {
      {"neg", neg},         {"abs", abs},           {"exp", exp},       {"log", log},
      {"sqrt", sqrt},       {"rsqrt", rsqrt},       {"square", square}, {"reciprocal", reciprocal},
      {"sin", sin},         {"cos", cos},           {"erf", erf},       {"tanh", tanh},
      {"sigmoid", sigmoid}, {"softplus", softplus}, {"relu", relu},     {"gelu", gelu},
      {"silu", silu}};
  for (const auto& [name, function] : unary) models.add(name, function, shape, 0.5, 2);
  for (const char* name : {"neg", "abs", "relu", "gelu", "silu", "softplus"})
    models.add(std::string(name) + "_negative", unary.at(name), shape, -3, 1);
  models.add(
      "leaky_relu", [](const Var& x) { return leaky_relu(x, 0.3); }, shape);
  models.add(
      "clamp", [](const Var& x) { return clamp(x, -0.5, 0.25); }, shape);
  const Var row = Tensor::from<float>({1, -2, 3, 0.5f, -1, 2}, {6});
  models.add(
      "binary", [=](const Var& x) { return (x + row) * (x - row) / (row + 5.0) + maximum(x, row) - minimum(x, row); },
      shape);
  models.add(
      "numbers", [](const Var& x) { return 2.0 - (3.0 * x + 1.0) / 4.0 - 1.0 / (x - 7.0); }, shape);
  models.add(
      "pow", [](const Var& x) { return pow(x, 1.5) + pow(x, x); }, shape, 0.5, 2);
  const Shape image = {1, 3, 4, 5};
  models.add(
      "views",
      [](const Var& x) {
        const Var y = permute(transpose(x, 1, -1), {0, -1, 1, 2});
        return concat({slice(y, 1, 0, 2), slice(y, 1, -1, 100), slice(y, 1, 0, 3, 2)}, 1);
      },
      image);
  models.add(
      "select", [](const Var& x) { return unsqueeze(squeeze(unsqueeze(select(x, 2, -1), 1), 1), 3); }, image);
  models.add(
      "pad",
      [](const Var& x) {
        return pad(x, {0, 0, 1, 2}, {0, 1, 0, 3}, 0.5);
      },
      image);
  models.add(
      "layout", [](const Var& x) { return contiguous(x, Layout::channels_last) * 2.0; }, image);
  models.add(
      "reshape",
      [](const Var& x) {
        return reshape(x, {x.size(0) * 4, 15});
      },
      image);
  models.add(
      "flatten", [](const Var& x) { return flatten(x, 2); }, image);
  models.add(
      "cast", [](const Var& x) { return cast(x, DType::float64) * 3.0; }, image);
  models.add(
      "sums", [](const Var& x) { return sum(x, {2}) + mean(x, {2}) * max(x, {2}) - min(x, {2}); }, image);
  models.add(
      "kept",
      [](const Var& x) {
        return sum(x, {1, -1}, true) + mean(x, {1, -1}, true);
      },
      image);
  models.add(
      "all", [](const Var& x) { return max(x) + min(x); }, image);
  models.add(
      "logsumexp",
      [](const Var& x) {
        return logsumexp(x, {1, -1}) + variance(x, {1, -1});
      },
      image);
  models.add(
      "softmax", [](const Var& x) { return softmax(x, 1) + log_softmax(x, -1); }, image);
  const Var matrix = random_uniform({5, 2}, -1, 1, {.seed = 8});
  models.add(
      "matmul", [=](const Var& x) { return matmul(x, matrix); }, image);
  const Tensor mask = Tensor::from<bool>({true, false, true, false, true}, {5});
  models.add(
      "where", [=](const Var& x) { return where(mask, x * 2.0, where(logical_not(mask), x, exp(x))); }, image);
  models.add(
      "expand",
      [](const Var& x) {
        return expand(unsqueeze(select(x, 1, 0), 1), {x.size(0), 3, 4, 5}) + expand(sum(x), {4, 5}) +
               expand(mean(x, {0}), {x.size(0), 3, 4, 5});
      },
      image);
  models.add(
      "stack",
      [](const Var& x) {
        return stack({x, x * 2.0}, 1) - stack({exp(x), x}, -4);
      },
      image);
  models.add(
      "sum_to",
      [](const Var& x) {
        return sum_to(x, {3, 1, 5}) + sum_to(x, {5}) + sum_to(x, {1, 3, 1, 1});
      },
      image);
  const Tensor order = Tensor::from<int64_t>({3, 0, 0, 2, 1, 1}, {3, 2});
  models.add(
      "gather",
      [=](const Var& x) {
        return gather(mean(x, {0, 3}), -1, order);
      },
      image);
  models.add(
      "index_select",
      [](const Var& x) {
        return index_select(x, -1, Tensor::from<int64_t>({4, 0, 0, 1}, {4}));
      },
      image);
  models.add(
      "scatter_add",
      [=](const Var& x) {
        const Var rows = mean(x, {0, 3});
        return scatter_add(rows, 1, order, slice(rows, 1, 0, 2));
      },
      image);
  models.add(
      "conv_transpose",
      [=](const Var& x) {
        const Tensor weight = random_uniform({3, 2, 2, 2}, -1, 1, {.seed = 8});
        return conv_transpose2d(x, weight, {}, {.stride = {2, 2}, .padding = {0, 1, 1, 0}, .output_padding = {1, 0}});
      },
      image);
  models.add(
      "upsample", [](const Var& x) { return upsample_nearest2d(x, 2); }, image);
  models.add(
      "input itself", [](const Var& x) { return x; }, image);
  models.check(1e-5);
}

TEST_CASE("models of tokens, with constants and parameters that take the batch size, agree with onnxruntime") {
  /// Words and their places, before which a row of its own stands, as in a transformer for classification.
  class Words : public Module {
   public:
    Words()
        : words_(child("words", Embedding(11, 6))),
          places_(child("places", Embedding(8, 6))),
          head_(child("head", Linear(6, 3))),
          first_(parameter("first", random_normal({1, 1, 6}, 0, 1, {.seed = 2}))) {}
    Var forward(const Var& x) override {
      const Var places = places_(Tensor::arange(x.size(1)));
      const Var rows = concat({expand(first_, {x.size(0), 1, 6}), words_(x) + places}, 1);
      const Tensor basis = random_normal({6, 6}, 0, 1, {.seed = 3});
      return head_(tanh(matmul(rows, basis)));
    }

   private:
    Embedding &words_, &places_;
    Linear& head_;
    Parameter first_;
  };
  manual_seed(5);
  Words words;
  Sequential bag(Embedding(11, 6), Flatten(), Linear(42, 2));
  Exported models;
  models.add_tokens("words", words, {1, 7}, 11);
  models.add_tokens("bag", bag, {1, 7}, 11);
  models.check(1e-5);
}

TEST_CASE("a view of a buffer is another tensor in the file than the buffer") {
  class Twice : public Module {
   public:
    Twice() : basis_(buffer("basis", random_normal({6, 6}, 0, 1, {.seed = 3}))) {}
    Var forward(const Var& x) override { return matmul(matmul(x, transpose(basis_, 0, 1)), basis_); }

   private:
    Tensor basis_;
  } twice;
  Exported models;
  models.add("twice", twice, {1, 6});
  models.check(1e-5);
}

TEST_CASE("a file has the model's names, a free batch, and the metadata that it was given") {
  const std::string python = python_with("onnx");
  if (python.empty()) return;
  const TemporaryFolder folder;
  Sequential net(Conv2d(3, 4, {.kernel = 3}), BatchNorm2d(4), GlobalAvgPool2d(), Linear(4, 2));
  export_onnx(folder / "x.onnx", net, {1, 3, 8, 8},
              {.input = "image", .output = "logits", .metadata = {{"std", "0.5"}}});
  const nlohmann::json info = read_back(python, "onnx-info " + folder / "x.onnx");
  CHECK(info.at("input") == nlohmann::json::parse(R"(["image",["batch",3,8,8]])"));
  CHECK(info.at("output") == nlohmann::json::parse(R"(["logits",["batch",2]])"));
  CHECK(info.at("opset") == 17);
  CHECK(info.at("metadata").at("std") == "0.5");
  for (const auto& [name, tensor] : net.state()) {
    if (name == "1.num_batches_tracked") continue;
    const std::string initializer = name;
    CAPTURE(initializer);
    CHECK(info.at("initializers").contains(name));
  }
  CHECK(info.at("initializers").size() == 8);
}

TEST_CASE("an extent of the output that depends on the batch size but is another has a name of its own") {
  const std::string python = python_with("onnx");
  if (python.empty()) return;
  const TemporaryFolder folder;
  const auto output = [&](std::function<Var(const Var&)> forward) {
    Formula model(std::move(forward));
    export_onnx(folder / "x.onnx", model, {1, 3}, {.output = "rows"});
    return read_back(python, "onnx-info " + folder / "x.onnx").at("output").at(1);
  };
  CHECK(output([](const Var& x) { return concat({x, exp(x)}, 0); }) == nlohmann::json::parse(R"(["rows_extent0",3])"));
  CHECK(output([](const Var& x) { return matmul(x, transpose(x, 0, 1)); }) ==
        nlohmann::json::parse(R"(["batch","batch"])"));
}

TEST_CASE("names that a file could not tell apart are refused before anything is written") {
  const TemporaryFolder folder;
  Mlp net(6, 2, {.hidden = {3}});
  const auto said = [&](const std::string& input, const std::string& output) {
    return error_of([&] { export_onnx(folder / "x.onnx", net, {1, 6}, {.input = input, .output = output}); });
  };
  CHECK(contains(said("", "y"), "[export_onnx] expects two different names of input and output, got \"\" and \"y\""));
  CHECK(contains(said("x", ""), "got \"x\" and \"\""));
  CHECK(contains(said("x", "x"), "got \"x\" and \"x\""));
  const std::string taken = net.state().begin()->first;
  CHECK(contains(said(taken, "y"), "the model's state has a tensor \"" + taken + "\""));
  CHECK(contains(said("x", taken), "the model's state has a tensor \"" + taken + "\""));
  CHECK_FALSE(std::filesystem::exists(folder / "x.onnx"));
}

TEST_CASE("equal models give equal bytes") {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b", "frozen"}) {
    manual_seed(4);
    Mlp net(6, 2, {.hidden = {3}});
    net.set_requires_grad(std::string(name) != "frozen");
    export_onnx(folder / name, net, {1, 6});
  }
  CHECK(read_file(folder / "a") == read_file(folder / "b"));
  CHECK(read_file(folder / "a") == read_file(folder / "frozen"));
}

TEST_CASE("a model of tokens is the same file whatever of it is frozen, and stays frozen") {
  const TemporaryFolder folder;
  manual_seed(4);
  Sequential net(Embedding(11, 6), Flatten(), Linear(42, 2));
  const std::vector<Parameter> parameters = net.parameters();
  const auto export_as = [&](const std::string& name, const std::vector<bool>& trained) {
    for (size_t i = 0; i < trained.size(); ++i) parameters[i].set_requires_grad(trained[i]);
    export_onnx(folder / name, net, {1, 7}, {.tokens = 11});
    for (size_t i = 0; i < trained.size(); ++i) CHECK(parameters[i].requires_grad() == trained[i]);
    return read_file(folder / name);
  };
  const std::string all = export_as("all", {true, true, true});
  CHECK(export_as("head", {false, true, true}) == all);
  CHECK(export_as("none", {false, false, false}) == all);
  CHECK_THROWS_AS(export_onnx(folder / "x", net, {1, 8}, {.tokens = 11}), Error);
  for (const Parameter& parameter : parameters) CHECK(!parameter.requires_grad());
}
