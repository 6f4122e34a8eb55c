// Ten training steps of All-CNN-C against PyTorch in float64, from equal weights and images.
#include <doctest/doctest.h>

#include "autograd/ops.h"
#include "models/all_cnn.h"
#include "tests/golden/golden.h"

using namespace gradus;

namespace {

void set_parameters(AllCnn& model) {
  StateDict state;
  for (const Parameter& p : model.parameters()) {
    const ParamInfo& info = p.info();
    const auto area = static_cast<double>(info.kernel[0] * info.kernel[1]);
    const double glorot = std::sqrt(6.0 / (static_cast<double>(info.in) * area + static_cast<double>(info.out) * area));
    state[p.name()] = golden::values(p.name(), p.shape(), info.role == ParamRole::bias ? 0.05 : glorot);
  }
  model.load(state);
}

struct Batch {
  Tensor images, labels;
};

/// Images of ten classes: a pattern of 4x4 blocks for each class, and noise.
Batch batch(const std::string& name, int64_t size) {
  std::vector<int64_t> labels;
  for (uint64_t number : golden::integers("labels " + name, size)) labels.push_back(static_cast<int64_t>(number % 10));
  const auto patterns = golden::values("patterns", {10, 3, 4, 4}).to_vector<float>();
  auto images = golden::values("noise " + name, {size, 3, 32, 32}).to_vector<float>();
  for (size_t i = 0; i < images.size(); ++i) {
    const size_t x = i % 32, y = i / 32 % 32, c = i / 1024 % 3, label = static_cast<size_t>(labels[i / 3072]);
    images[i] = patterns[((label * 3 + c) * 4 + y / 8) * 4 + x / 8] + 0.5f * images[i];
  }
  return {Tensor::from(images, {size, 3, 32, 32}), Tensor::from(labels, {size})};
}

void check_gradient(const Parameter& p, const nlohmann::json& expected) {
  INFO("gradient of ", p.name());
  REQUIRE(p.grad().defined());
  const auto gradient = p.grad().to_vector<float>();
  double squares = 0;
  for (float g : gradient) squares += double{g} * g;
  const double norm = expected.at("norm");
  CHECK(std::sqrt(squares) == doctest::Approx(norm).epsilon(1e-4));
  const auto samples = expected.at("samples").get<std::vector<double>>();
  std::vector<double> found;
  for (uint64_t number : golden::integers("places " + p.name(), static_cast<int64_t>(samples.size())))
    found.push_back(gradient[number % gradient.size()]);
  CHECK(golden::relative_distance(found, samples) < 1e-4);
}

void check_training(AllCnnPadding padding, const std::string& file) {
  const nlohmann::json expected = golden::read(file);
  const auto losses = expected.at("losses").get<std::vector<double>>();
  REQUIRE(losses.size() == 10);

  AllCnn model({.dropout = false, .padding = padding});
  set_parameters(model);
  const std::vector<Parameter> parameters = model.parameters();
  REQUIRE(parameters.size() == 18);
  std::vector<Tensor> velocity;
  for (const Parameter& p : parameters) velocity.push_back(Tensor::zeros(p.shape()));

  for (size_t step = 1; step <= losses.size(); ++step) {
    INFO("step ", step);
    const Batch b = batch(expected.at("batches").at(step - 1), expected.at("batch_size"));
    for (const Parameter& p : parameters) p.clear_grad();
    const Var loss = cross_entropy(model(b.images), b.labels);
    loss.backward();
    CHECK(loss.item() == doctest::Approx(losses[step - 1]).epsilon(1e-5));
    const auto gradients = expected.at("gradients").find(std::to_string(step));
    if (gradients != expected.at("gradients").end())
      for (const Parameter& p : parameters) check_gradient(p, gradients->at(p.name()));
    for (size_t i = 0; i < parameters.size(); ++i) {
      axpby_(1, parameters[i].grad(), 0.9, velocity[i]);
      Tensor value = parameters[i].value();
      add_(value, velocity[i], -0.05);
    }
  }
}

}  // namespace

TEST_CASE("ten steps of All-CNN-C with padding 1 agree with PyTorch") {
  check_training(AllCnnPadding::one, "all_cnn_one.json");
}

TEST_CASE("ten steps of All-CNN-C with TensorFlow's padding agree with PyTorch") {
  check_training(AllCnnPadding::same, "all_cnn_same.json");
}
