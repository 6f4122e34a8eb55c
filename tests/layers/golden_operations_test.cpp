// Single operations, attention, and their gradients against PyTorch in float64: in float64 to rounding, in float32 to
// its rounding.
#include <doctest/doctest.h>

#include <functional>
#include <limits>

#include "autograd/ops.h"
#include "layers/attention.h"
#include "layers/norm.h"
#include "tests/golden/golden.h"

using namespace gradus;

namespace {

using Inputs = std::map<std::string, Var>;
using Operation = std::function<Var(const Inputs&)>;

Tensor labels() { return Tensor::from<int64_t>({2, 0, 4, 3}, {4}); }

Var conv(const Inputs& in, const Conv2dSpec& spec, bool relu = false) {
  return conv2d(in.at("x"), in.at("w"), in.contains("b") ? in.at("b") : Var(), spec, relu);
}

Operation conv(const Conv2dSpec& spec, bool relu = false) {
  return [=](const Inputs& in) { return conv(in, spec, relu); };
}

Operation conv_transpose(const ConvTranspose2dSpec& spec) {
  return [=](const Inputs& in) { return conv_transpose2d(in.at("x"), in.at("w"), in.at("b"), spec); };
}

const std::map<std::string, Operation> operations = {
    {"conv2d plain", conv(Conv2dSpec{})},
    {"conv2d stride", conv(Conv2dSpec{.stride = {2, 3}, .padding = {1, 1, 1, 1}})},
    {"conv2d dilation", conv(Conv2dSpec{.padding = {2, 2, 2, 2}, .dilation = {2, 1}})},
    {"conv2d groups", conv(Conv2dSpec{.padding = {1, 1, 1, 1}, .groups = 2})},
    {"conv2d depthwise", conv(Conv2dSpec{.stride = {2, 2}, .padding = {1, 1, 1, 1}, .groups = 4})},
    {"conv2d asymmetric", conv(Conv2dSpec{.stride = {2, 2}, .padding = {0, 2, 1, 0}})},
    {"conv2d relu", conv(Conv2dSpec{.padding = {1, 1, 1, 1}}, true)},
    {"conv_transpose2d",
     conv_transpose(ConvTranspose2dSpec{.stride = {2, 3}, .padding = {1, 1, 1, 1}, .output_padding = {1, 2}})},
    {"conv_transpose2d groups",
     conv_transpose(ConvTranspose2dSpec{.padding = {1, 1, 1, 1}, .dilation = {2, 1}, .groups = 2})},
    {"linear", [](const Inputs& in) { return linear(in.at("x"), in.at("w"), in.at("b")); }},
    {"batch_norm", [](const Inputs& in) { return batch_norm(in.at("x"), in.at("w"), in.at("b"), 1e-5); }},
    {"layer_norm", [](const Inputs& in) { return layer_norm(in.at("x"), {4, 5}, in.at("w"), in.at("b"), 1e-5); }},
    {"group_norm", [](const Inputs& in) { return group_norm(in.at("x"), 3, in.at("w"), in.at("b"), 1e-5); }},
    {"gelu", [](const Inputs& in) { return gelu(4 * in.at("x")); }},
    {"softplus", [](const Inputs& in) { return softplus(30 * in.at("x")); }},
    {"leaky_relu", [](const Inputs& in) { return leaky_relu(in.at("x"), 0.2); }},
    {"cross_entropy", [](const Inputs& in) { return cross_entropy(5 * in.at("x"), labels()); }},
    {"cross_entropy smoothed",
     [](const Inputs& in) { return cross_entropy(5 * in.at("x"), labels(), {.label_smoothing = 0.1}); }},
    {"max_pool2d",
     [](const Inputs& in) {
       return max_pool2d(in.at("x"), {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1, 1, 1}});
     }},
    {"avg_pool2d",
     [](const Inputs& in) {
       return avg_pool2d(in.at("x"), {.kernel = {3, 2}, .stride = {2, 2}, .padding = {1, 1, 1, 1}});
     }},
    {"avg_pool2d inside",
     [](const Inputs& in) {
       return avg_pool2d(in.at("x"), {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1, 1, 1}, .count_padding = false});
     }},
    {"log_softmax", [](const Inputs& in) { return log_softmax(20 * in.at("x"), 1); }},
};

Shape shape_of(const nlohmann::json& extents) {
  return Shape(std::span<const int64_t>(extents.get<std::vector<int64_t>>()));
}

template <class T>
void check_result(const Tensor& found, const nlohmann::json& expected, double tolerance) {
  REQUIRE(found.defined());
  REQUIRE(found.dtype() == dtype_of<T>);
  REQUIRE(found.shape() == shape_of(expected.at("shape")));
  const auto numbers = found.to_vector<T>();
  CHECK(golden::relative_distance({numbers.begin(), numbers.end()}, expected.at("values")) < tolerance);
}

template <class T>
void check_operations(double tolerance) {
  const nlohmann::json golden_values = golden::read("operations.json");
  CHECK(golden_values.size() == operations.size());
  for (const auto& item : golden_values.items()) {
    const std::string& name = item.key();
    const nlohmann::json& expected = item.value();
    INFO(name);
    REQUIRE(operations.contains(name));
    Inputs inputs;
    for (const auto& [key, extents] : expected.at("inputs").items())
      inputs[key] = Var::leaf(golden::values<T>(name + " " + key, shape_of(extents)));
    const Var y = operations.at(name)(inputs);
    y.backward(golden::values<T>(name + " gy", y.shape()), {});
    const nlohmann::json& results = expected.at("results");
    check_result<T>(y.value(), results.at("y"), tolerance);
    for (const auto& input : inputs) {
      INFO("gradient of ", input.first);
      check_result<T>(input.second.grad(), results.at("grad " + input.first), tolerance);
    }
  }
}

}  // namespace

// Sums of at most a hundred terms, each rounded, through a handful of operations: some hundred units in the last place.
TEST_CASE("every golden operation and its gradients agree with PyTorch in float64") {
  check_operations<double>(500 * std::numeric_limits<double>::epsilon());
}

TEST_CASE("every golden operation and its gradients agree with PyTorch in float32") {
  check_operations<float>(500 * double{std::numeric_limits<float>::epsilon()});
}

TEST_CASE("self-attention and its gradients agree with PyTorch's MultiheadAttention") {
  const nlohmann::json golden_values = golden::read("attention.json");
  for (const bool causal : {false, true}) {
    const nlohmann::json& expected = golden_values.at(causal ? "causal" : "plain");
    SelfAttention layer(6, {.heads = 2, .causal = causal});
    StateDict weights = layer.state();
    for (auto& [name, weight] : weights) weight = golden::values(name, weight.shape());
    layer.load(weights);
    const Var x = Var::leaf(golden::values("x", {3, 5, 6})), y = layer(x);
    y.backward(golden::values("gy", {3, 5, 6}), {});
    const double tolerance = 500 * double{std::numeric_limits<float>::epsilon()};
    check_result<float>(y.value(), expected.at("y"), tolerance);
    check_result<float>(x.grad(), expected.at("x"), tolerance);
    for (const Parameter& p : layer.parameters()) {
      INFO(p.name());
      check_result<float>(p.grad(), expected.at(p.name()), tolerance);
    }
  }
}

TEST_CASE("the running averages of a batch norm layer agree with PyTorch") {
  const nlohmann::json expected = golden::read("operations.json").at("batch_norm").at("results");
  BatchNorm2d layer(3);
  layer(golden::values("batch_norm x", {4, 3, 3, 5}));
  StateDict state = layer.state();
  check_result<float>(state.at("running_mean"), expected.at("running_mean"), 1e-6);
  check_result<float>(state.at("running_var"), expected.at("running_var"), 1e-6);
  CHECK(state.at("num_batches_tracked").item() == 1);
}
