// The models: sizes as published, options, initial values, and their names.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "layers/summary.h"
#include "models/all_cnn.h"
#include "models/mlp.h"
#include "models/registry.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

TEST_CASE("All-CNN-C has the published parameters, shapes and multiplications, with either padding") {
  for (AllCnnPadding padding : {AllCnnPadding::same, AllCnnPadding::one}) {
    AllCnn model({.padding = padding});
    const Summary s = summary(model, {1, 3, 32, 32});
    CHECK(s.parameters == 1'369'738);
    std::vector<LayerSummary> convs;
    for (const LayerSummary& l : s.layers)
      if (l.name.starts_with("conv")) convs.push_back(l);
    REQUIRE(convs.size() == 9);
    const int64_t sides[] = {32, 32, 16, 16, 16, 8, 6, 6, 6};
    const int64_t parameters[] = {2688, 83040, 83040, 166080, 331968, 331968, 331968, 37056, 1930};
    for (size_t i = 0; i < 9; ++i) {
      CHECK(convs[i].output[2] == sides[i]);
      CHECK(convs[i].output[3] == sides[i]);
      CHECK(convs[i].parameters == parameters[i]);
    }
    CHECK(static_cast<double>(s.macs) == doctest::Approx(270.8e6).epsilon(0.05 / 270.8));
  }
}

TEST_CASE("the network of the speed comparison pads its seventh convolution too") {
  AllCnn model({.dropout = false, .padding = AllCnnPadding::every});
  std::vector<Shape> seventh;
  for (const LayerSummary& l : summary(model, {1, 3, 32, 32}).layers)
    if (l.name == "conv7") seventh.push_back(l.output);
  CHECK(seventh == std::vector<Shape>{{1, 192, 8, 8}});
}

TEST_CASE("All-CNN-C starts with Glorot's uniform weights and zero biases") {
  for (const Parameter& p : AllCnn().parameters()) {
    const ParamInfo& i = p.info();
    const double bound = i.role == ParamRole::bias
                             ? 0
                             : std::sqrt(6.0 / static_cast<double>((i.in + i.out) * i.kernel[0] * i.kernel[1]));
    double largest = 0;
    for (float v : p.value().to_vector<float>()) largest = std::max(largest, std::abs(double{v}));
    INFO(p.name());
    CHECK(largest <= bound * (1 + 1e-6));
    CHECK(largest >= bound * 0.98);
  }
}

TEST_CASE("dropout is on by default, off by option, and adds no parameters") {
  AllCnn with, without({.dropout = false});
  CHECK(with.children().size() == without.children().size() + 3);
  CHECK(with.state().size() == without.state().size());
  without.load(with.state());
  const Tensor x = random_normal({1, 3, 32, 32}, 0, 1, {1, 1, 1});
  const auto y = without(x).value().to_vector<float>();
  CHECK(with(x).value().to_vector<float>() != y);
  with.eval();
  CHECK(with(x).value().to_vector<float>() == y);
}

TEST_CASE("a perceptron has the layers that were asked for") {
  Mlp model(784, 10, {.hidden = {100, 50}, .activation = Activation::tanh, .dropout = 0.1});
  CHECK(model.parameter_count() == 784 * 100 + 100 + 100 * 50 + 50 + 50 * 10 + 10);
  CHECK(model(Tensor::ones({2, 1, 28, 28})).shape() == Shape{2, 10});
  CHECK(model.parameters()[4].name() == "fc3.weight");
  Mlp linear(4, 3, {.hidden = {}});
  CHECK(linear.parameter_count() == 15);
  for (double dropout : {-0.5, 1.0, std::nan("")})
    CHECK(contains(error_of([&] { Mlp(4, 3, {.dropout = dropout}); }), "[Mlp] dropout must be in [0, 1), got "));
}

TEST_CASE("models are made by name for images of a size") {
  for (const std::string& name : model_names()) {
    INFO(name);
    const auto model = make_model(name, {.image = {1, 12, 16}, .classes = 7});
    CHECK((*model)(Tensor::zeros({2, 1, 12, 16})).shape() == Shape{2, 7});
  }
}

TEST_CASE("All-CNN takes images of 9x9, and of any size where its seventh convolution pads too") {
  const auto logits = [](AllCnnPadding padding, int64_t height, int64_t width) {
    const auto model = make_model("all_cnn", {.image = {3, height, width}, .padding = padding});
    return (*model)(Tensor::zeros({2, 3, height, width})).shape();
  };
  for (AllCnnPadding padding : {AllCnnPadding::same, AllCnnPadding::one}) CHECK(logits(padding, 9, 9) == Shape{2, 10});
  for (int64_t width : {1, 2, 3, 8}) CHECK(logits(AllCnnPadding::every, 1, width) == Shape{2, 10});
}

TEST_CASE("a model that is unknown or does not fit is named with the remedy") {
  CHECK(contains(error_of([] { make_model("all-cnn"); }), "there is no model \"all-cnn\"; there are all_cnn, mlp"));
  CHECK(contains(error_of([] { make_model("all_cnn", {.image = {3, 8, 32}}); }), "at least 9x9, but these are 8x32"));
  CHECK(contains(error_of([] {
                   make_model("all_cnn", {.image = {3, 32, 8}, .padding = AllCnnPadding::one});
                 }),
                 "at least 9x9, but these are 32x8"));
  CHECK(contains(error_of([] { make_model("mlp", {.image = {32, 32}}); }), "[channels,height,width]"));
}
