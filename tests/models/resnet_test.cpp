#include "models/resnet.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "autograd/ops.h"
#include "core/safetensors.h"
#include "models/registry.h"
#include "optim/optimizer.h"
#include "tests/data/temporary_folder.h"
#include "tests/golden/golden.h"

using namespace gradus;

namespace {

/// make_golden.py's resnet_state(), for the names and shapes that PyTorch has.
StateDict golden_state(const nlohmann::json& shapes) {
  StateDict state;
  for (const auto& [name, extents] : shapes.items()) {
    Shape shape;
    for (int64_t extent : extents) shape.push_back(extent);
    if (name.ends_with("num_batches_tracked")) {
      state[name] = Tensor::full({}, 7, DType::int64);
    } else if (shape.rank() > 1) {
      const double fan_in = static_cast<double>(numel(shape) / shape[0]);
      state[name] = golden::values(name, shape, std::sqrt(6.0 / fan_in));
    } else {
      const bool around_one = name.ends_with("running_var") || (name.ends_with(".weight") && shape.rank() == 1);
      std::vector<float> numbers = golden::values(name, shape, 0.2).to_vector<float>();
      const float factor = name.ends_with("bn2.weight") || name.ends_with("bn3.weight") ? 0.25f : 1.0f;
      for (float& number : numbers) number = factor * (number + (around_one ? 1.0f : 0.0f));
      state[name] = Tensor::from(numbers, shape);
    }
  }
  return state;
}

double largest_difference(const std::vector<float>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  double largest = 0;
  for (size_t i = 0; i < found.size(); ++i) largest = std::max(largest, std::abs(double{found[i]} - expected[i]));
  return largest;
}

void check_against_pytorch(const std::string& golden_name, ResNet model, int64_t parameters_of_1000_classes) {
  const nlohmann::json all = golden::read("resnet.json"), &expected = all.at(golden_name);
  CHECK(expected.at("parameters") == parameters_of_1000_classes);
  model.load(golden_state(expected.at("shapes")));  // strict: names and shapes are PyTorch's, no more and no fewer
  const int64_t side = expected.at("side");
  const Var images(golden::values("images", {3, 3, side, side}));
  const NoGrad no_grad;
  model.eval();
  CHECK(largest_difference(model(images).value().to_vector<float>(), expected.at("evaluated")) < 1e-4);
  model.train();
  CHECK(largest_difference(model(images).value().to_vector<float>(), expected.at("trained")) < 1e-4);
  const StateDict state = model.state();
  const auto variances = state.at("layer4.1.bn2.running_var").to_vector<float>();
  CHECK(largest_difference({variances.begin(), variances.begin() + 16}, expected.at("running_var")) < 1e-5);
  CHECK(state.at("bn1.num_batches_tracked").item() == expected.at("batches"));
}

/// The parameters that a preconditioner counts by the paper, stores, and how many matrices or scalars it has.
struct Counts {
  int64_t paper = 0, stored = 0, sites = 0;
  friend bool operator==(const Counts&, const Counts&) = default;
};

Counts counts_of(optim::Optimizer optimizer) {
  Counts counts;
  for (const optim::PreconditionerReport& report : optimizer.diagnostics(optim::Diagnose::without_spectra)) {
    counts.paper += report.paper_parameters;
    counts.stored += report.stored_parameters;
    ++counts.sites;
  }
  return counts;
}

}  // namespace

TEST_CASE("ResNet-18, -34 and -50 have torchvision's parameters, names and shapes, and PyTorch's logits") {
  CHECK(resnet18().parameter_count() == 11'689'512);
  CHECK(resnet34().parameter_count() == 21'797'672);
  CHECK(resnet50().parameter_count() == 25'557'032);
  check_against_pytorch("resnet18", resnet18(10), 11'689'512);
  check_against_pytorch("resnet34", resnet34(10), 21'797'672);
  check_against_pytorch("resnet50", resnet50(10), 25'557'032);
}

TEST_CASE("the paper's four projections and the stem for small images agree with PyTorch too") {
  check_against_pytorch("resnet18 paper", resnet18(10, {.shortcut = ResNetShortcut::every_stage}), 11'689'512);
  check_against_pytorch("resnet18 cifar", resnet18(10, {.stem = ResNetStem::cifar}), 11'689'512);
}

TEST_CASE("weights that torchvision saved load by name, and the logits agree to 1e-4") {
  const TemporaryFolder folder;
  const char* root = std::getenv("GRADUS_SOURCE_ROOT");
  const std::string script = std::string(root == nullptr ? "." : root) + "/tests/golden/torchvision_resnet.py";
  // The first Python that has torchvision; Debian's may lie behind another.
  const auto write = [&](const std::string& python) {
    return std::system((python + " '" + script + "' resnet18 '" + folder.path().string() + "' 2>/dev/null").c_str());
  };
  if (write("python3") != 0 && write("/usr/bin/python3") != 0) {
    MESSAGE("skipped: no Python with torchvision (Debian: python3-torchvision)");
    return;
  }
  ResNet model = resnet18();
  model.load(safetensors::load(folder / "weights.safetensors").tensors);
  model.eval();
  const StateDict expected = safetensors::load(folder / "logits.safetensors").tensors;
  const NoGrad no_grad;
  const std::vector<float> logits = expected.at("logits").to_vector<float>();
  CHECK(logits.size() == 2000);
  CHECK(largest_difference(model(Var(expected.at("images"))).value().to_vector<float>(),
                           {logits.begin(), logits.end()}) < 1e-4);
}

TEST_CASE("with four projections the paper's counts come out: 22 scalars, 197 for FOP, of which 3701 are stored") {
  const auto over_model = [](const ResNetOptions& options) {
    return optim::over(resnet18(1000, options).parameters()).rule(optim::Sgd{.lr = 0.1});
  };
  const ResNetOptions paper{.shortcut = ResNetShortcut::every_stage};
  CHECK(counts_of(over_model(paper).precondition(optim::SHd{}).build()) == Counts{22, 22, 22});
  // FOP leaves out the classifier.
  CHECK(counts_of(over_model(paper)
                      .precondition(optim::Fop{})
                      .group(optim::named("fc."), {.preconditioner = optim::NoPreconditioner{}})
                      .build()) == Counts{197, 3701, 21});
  CHECK(counts_of(over_model({}).precondition(optim::SHd{}).build()) == Counts{21, 21, 21});
}

TEST_CASE("convolutions start with He's normal of fan_out, norms with one and zero") {
  for (const Parameter& p : resnet18(10).parameters()) {
    INFO(p.name());
    const ParamInfo& info = p.info();
    double squares = 0;
    const std::vector<float> numbers = p.value().to_vector<float>();
    for (float v : numbers) squares += double{v} * v;
    const double count = static_cast<double>(numbers.size()), mean_square = squares / count;
    const auto out = static_cast<double>(info.out * info.kernel[0] * info.kernel[1]);
    // The mean of n squares of a normal has a relative standard deviation of sqrt(2 / n).
    if (info.layer == LayerKind::conv) CHECK(std::abs(mean_square * out / 2 - 1) < 5 * std::sqrt(2 / count));
    if (info.layer == LayerKind::norm) CHECK(mean_square == (info.role == ParamRole::scale ? 1 : 0));
  }
}

TEST_CASE("a ResNet is made by name with its stem and shortcuts") {
  const auto model = make_model(
      "resnet18",
      {.image = {1, 16, 16}, .classes = 5, .stem = ResNetStem::cifar, .shortcut = ResNetShortcut::every_stage});
  const StateDict state = model->state();
  CHECK(state.at("conv1.weight").shape() == Shape{64, 1, 3, 3});
  CHECK(state.contains("layer1.0.downsample.1.running_mean"));
  CHECK((*model)(Tensor::zeros({2, 1, 16, 16})).shape() == Shape{2, 5});
  CHECK(model->describe() == "ResNet-18");
}
