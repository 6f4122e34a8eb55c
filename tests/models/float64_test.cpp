// Layers, models and trainings in float64: gradients by differences, and float32's results beside them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "autograd/gradcheck.h"
#include "core/error.h"
#include "layers/attention.h"
#include "layers/container.h"
#include "layers/conv.h"
#include "layers/dropout.h"
#include "layers/embedding.h"
#include "layers/init.h"
#include "layers/norm.h"
#include "layers/pool.h"
#include "models/onnx/export.h"
#include "models/registry.h"
#include "optim/optimizer.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

using Owned = std::unique_ptr<Module>;
using Make = std::function<Owned()>;

Owned built(const Make& make, DType dtype) {
  manual_seed(1);
  const DefaultDType scope(dtype);
  return make();
}

template <class... Layers>
Make sequence(Layers... make) {
  return [=] { return std::make_unique<Sequential>(make()...); };
}

Tensor input_of(const Shape& shape, DType dtype) { return cast(random_normal(shape, 0, 1, {2}), dtype); }

/// The largest difference of two tensors' elements, in terms of the largest of `right`.
double relative_difference(const Tensor& found, const Tensor& right) {
  const auto a = cast(found, DType::float64).to_vector<double>(), b = cast(right, DType::float64).to_vector<double>();
  REQUIRE(a.size() == b.size());
  double worst = 0, largest = 1e-300;
  for (size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::abs(a[i] - b[i]));
    largest = std::max(largest, std::abs(b[i]));
  }
  return worst / largest;
}

}  // namespace

TEST_CASE(
    "under DefaultDType a layer has float64 parameters with float32's numbers, and the gradients of differences") {
  struct Row {
    std::string name;
    Make make;
    Shape input;
  };
  const std::vector<Row> table = {
      {"linear", sequence([] { return Linear(5, 4); }), {3, 5}},
      {"convolution", sequence([] { return Conv2d(4, 6, {.kernel = 3, .padding = 1, .groups = 2}); }), {2, 4, 5, 5}},
      {"turned", sequence([] { return ConvTranspose2d(3, 2, {.kernel = 3, .stride = 2}); }), {2, 3, 3, 3}},
      {"batch norm", sequence([] { return BatchNorm2d(3); }), {4, 3, 2, 2}},
      {"batch norm of rows", sequence([] { return BatchNorm1d(3, {.track_running_stats = false}); }), {6, 3}},
      {"layer norm", sequence([] { return LayerNorm(6); }), {3, 6}},
      {"group norm", sequence([] { return GroupNorm(2, 4); }), {2, 4, 3, 3}},
      {"attention", sequence([] { return SelfAttention(4, {.heads = 2, .causal = true}); }), {2, 3, 4}},
      {"pooling",
       sequence([] { return Conv2d(2, 3, {.kernel = 1}); }, [] { return MaxPool2d(); },
                [] { return UpsampleNearest2d(2); }, [] { return AvgPool2d({.kernel = 3, .stride = 2, .padding = 1}); },
                [] { return GlobalAvgPool2d(); }),
       {2, 2, 8, 8}},
      {"functions",
       sequence([] { return Linear(4, 6); }, [] { return Tanh(); }, [] { return GELU(); }, [] { return SiLU(); },
                [] { return Softplus(); }, [] { return Sigmoid(); }, [] { return Dropout(0.4); }),
       {3, 4}},
      {"kinks",
       sequence([] { return Linear(4, 6); }, [] { return ReLU(); }, [] { return Linear(6, 3); },
                [] { return LeakyReLU(); }),
       {3, 4}},
  };
  for (const Row& row : table) {
    CAPTURE(row.name);
    const Owned exact = built(row.make, DType::float64), plain = built(row.make, DType::float32);
    const StateDict state = exact->state();
    for (const auto& [name, tensor] : plain->state()) {
      const Tensor& twin = state.at(name);
      CHECK(twin.dtype() == (tensor.dtype() == DType::float32 ? DType::float64 : tensor.dtype()));
      CHECK(cast(twin, tensor.dtype()).to_bytes() == tensor.to_bytes());
      CHECK(relative_difference(twin, tensor) == 0);
    }
    for (Module* model : {exact.get(), plain.get()}) model->set_step(0);
    const Var x = Var::leaf(input_of(row.input, DType::float64));
    CHECK(relative_difference((*plain)(cast(x, DType::float32)).value(), (*exact)(x).value()) < 2e-6);

    VarList leaves = exact->parameters();
    leaves.push_back(x);
    const auto f = [&] {
      exact->set_step(0);  // what is dropped is the same in every call
      return (*exact)(x);
    };
    const GradcheckResult first = gradcheck(f, leaves), second = gradgradcheck(f, leaves, {.most = 10});
    CHECK_MESSAGE(first.ok, first.message);
    CHECK_MESSAGE(second.ok, second.message);
  }
}

TEST_CASE("an embedding in float64 has the gradients of differences") {
  const Owned net = built(sequence([] { return Embedding(4, 3); }, [] { return Linear(3, 2); }), DType::float64);
  const Tensor index = Tensor::from<int64_t>({0, 3, 3, 1}, {2, 2});
  const GradcheckResult result = gradcheck([&] { return (*net)(index); }, net->parameters());
  CHECK_MESSAGE(result.ok, result.message);
}

TEST_CASE("models in float64 have the gradients of differences, and their float32 losses are near") {
  for (const std::string name : {"all_cnn", "mlp", "resnet18"}) {
    CAPTURE(name);
    const Make make = [&] {
      return make_model(name, {.image = {3, 9, 9},
                               .dropout = false,
                               .padding = AllCnnPadding::every,
                               .hidden = {20, 15},
                               .stem = ResNetStem::cifar});
    };
    const Owned exact = built(make, DType::float64), plain = built(make, DType::float32);
    const Tensor images = input_of({2, 3, 9, 9}, DType::float32), labels = Tensor::from<int64_t>({3, 7}, {2});
    const auto loss = [&] { return cross_entropy((*exact)(cast(images, DType::float64)), labels); };
    CHECK(cross_entropy((*plain)(images), labels).item() == doctest::Approx(loss().item()).epsilon(1e-5));
    const std::vector<Parameter> all = exact->parameters();
    // Within a larger step of one of so many units lies the kink of its ReLU.
    const GradcheckResult result =
        gradcheck(loss, {all[0], all[all.size() / 2], all.back()}, {.step = 1e-6, .most = 1});
    CHECK_MESSAGE(result.ok, result.message);
  }
}

TEST_CASE("every preconditioner trains in float64, and float32's losses are near") {
  const Make make = sequence([] { return Conv2d(2, 6, {.kernel = 3}); }, [] { return BatchNorm2d(6); },
                             [] { return Tanh(); }, [] { return Flatten(); }, [] { return Linear(6 * 4 * 4, 5); });
  const Tensor labels = Tensor::from<int64_t>({0, 1, 2, 3, 4, 0, 1, 2}, {8});
  const auto losses = [&](DType dtype, const optim::AnyPreconditioner& preconditioner) {
    const Owned net = built(make, dtype);
    optim::Optimizer optimizer = optim::over(net->parameters())
                                     .precondition(preconditioner)
                                     .rule(optim::Sgd{.lr = 0.05, .momentum = 0.9})
                                     .build();
    std::vector<double> all;
    for (uint64_t step = 0; step < 8; ++step) {
      const Var loss = cross_entropy((*net)(cast(random_normal({8, 2, 6, 6}, 0, 1, {3, step}), dtype)), labels);
      all.push_back(loss.item());
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
    }
    int64_t learned = 0;
    for (const auto& [name, tensor] : optimizer.state())
      for (const char* kind : {".factor", ".identity_plus", ".scale", ".scales"})
        if (name.ends_with(kind)) {
          ++learned;
          CHECK(tensor.dtype() == dtype);
        }
    CHECK((learned > 0) == (preconditioner.name() != "none"));
    return all;
  };
  using optim::Adam, optim::Fop;
  const std::vector<std::pair<std::string, optim::AnyPreconditioner>> table = {
      {"fop", Fop{.hyper = Adam{.lr = 0.01}}},
      {"fop of rank 2", Fop{.hyper = Adam{.lr = 0.01}, .rank = 2, .init_gain = 1}},
      {"fop-norm", Fop{.hyper = Adam{.lr = 0.01}, .norm = Fop::Norm::through}},
      {"s-hd", optim::SHd{.hyper = Adam{.lr = 0.05}}},
      {"pp-hd", optim::PpHd{.hyper = Adam{.lr = 0.01}}}};
  const std::vector<double> none = losses(DType::float64, optim::NoPreconditioner{});
  for (const auto& [name, preconditioner] : table) {
    const std::string which = name;
    CAPTURE(which);
    const std::vector<double> exact = losses(DType::float64, preconditioner);
    const std::vector<double> plain = losses(DType::float32, preconditioner);
    for (size_t i = 0; i < exact.size(); ++i) CHECK(plain[i] == doctest::Approx(exact[i]).epsilon(1e-5));
    CHECK(std::abs(exact.back() - none.back()) > 1e-4);  // the preconditioner has learned
  }
}

TEST_CASE("other dtypes are refused, and the scope ends") {
  for (const DType dtype : {DType::bfloat16, DType::int64})
    CHECK(contains(error_of([&] { const DefaultDType scope(dtype); }), "parameters are float32 or float64"));
  {
    const DefaultDType scope(DType::float64);
    Linear exact(2, 2);
    const TemporaryFolder folder;
    CHECK(contains(error_of([&] {
                     export_onnx(folder / "net.onnx", exact, {1, 2});
                   }),
                   "[export_onnx] the parameter weight is float64: load the state, with cast(), into a float32 model"));
  }
  CHECK(Linear(2, 2).weight().dtype() == DType::float32);
  CHECK(contains(error_of([] { init::normal(Tensor::zeros({3}, DType::int64), 0, 1); }),
                 "[init] fills floating tensors, got int64 [3]"));
}
