// The tree of modules: names, state, strict loading, modes, and draws that a resumed run repeats.
#include "layers/module.h"

#include <doctest/doctest.h>

#include "layers/container.h"
#include "layers/conv.h"
#include "layers/dropout.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "layers/norm.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

class Net : public Module {
 public:
  Net()
      : conv_(child("conv1", Conv2d(3, 4, {.kernel = 3}))),
        norm_(child("bn1", BatchNorm2d(4))),
        drop_(child("drop", Sequential(Dropout(0.5), Dropout(0.5)))),
        scale_(parameter("scale", Tensor::ones({4, 1, 1}))) {}
  Var forward(const Var& x) override { return drop_(norm_(conv_(x))) * scale_; }
  using Module::buffer;
  using Module::child;
  using Module::parameter;

 private:
  Module &conv_, &norm_, &drop_;
  Parameter scale_;
};

std::vector<std::string> names_of(const StateDict& state) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : state) names.push_back(name);
  return names;
}

/// Of an image that varies: of a constant one exact batch norm leaves nothing, whatever the weights.
std::vector<float> output(Module& model) {
  return model(random_uniform({2, 3, 5, 5}, 0, 1, {.seed = 1})).value().to_vector<float>();
}

}  // namespace

TEST_CASE("parameters come in order of registration, own first, under their full names") {
  std::vector<std::string> names;
  for (const Parameter& p : Net().parameters()) names.push_back(p.name());
  CHECK(names == std::vector<std::string>{"scale", "conv1.weight", "conv1.bias", "bn1.weight", "bn1.bias"});
  CHECK(Net().parameter_count() == 4 + 4 * 27 + 4 + 4 + 4);
}

TEST_CASE("state has PyTorch's names, buffers included") {
  CHECK(names_of(Net().state()) == std::vector<std::string>{"bn1.bias", "bn1.num_batches_tracked", "bn1.running_mean",
                                                            "bn1.running_var", "bn1.weight", "conv1.bias",
                                                            "conv1.weight", "scale"});
}

TEST_CASE("loading a state makes two models equal") {
  manual_seed(1);
  Net a, b;
  a(Tensor::ones({2, 3, 5, 5}) * 2.0);  // moves the running averages
  a.eval();
  b.eval();
  CHECK(output(a) != output(b));
  b.load(a.state());
  CHECK(output(a) == output(b));
}

TEST_CASE("a cloned state keeps its values, and one that was not cloned is refused") {
  manual_seed(1);
  Net net;
  const StateDict kept = clone(net.state()), alias = net.state();
  Tensor weight = net.state().at("conv1.weight");
  fill_(weight, 7);
  CHECK_THROWS_WITH_AS(net.load(alias), doctest::Contains("StateDict best = clone(model.state())"), Error);
  CHECK(max(weight).item() == 7);
  net.load(kept);
  CHECK(max(weight).item() < 1);
  StateDict edited = net.state();
  edited.at("scale") = Tensor::full({4, 1, 1}, 3);
  net.load(edited);
  CHECK(max(net.state().at("scale")).item() == 3);
}

TEST_CASE("a frozen part gets no gradients, and backward ends above it") {
  manual_seed(2);
  Net net;
  net.eval();
  Conv2d& body = net.child("body", Conv2d(4, 2, {.kernel = 1}));
  Linear& head = net.child("head", Linear(2, 3));
  net.set_requires_grad(false);
  head.set_requires_grad(true);
  const Var features = body(net(Tensor::ones({2, 3, 5, 5})));
  CHECK_FALSE(features.requires_grad());
  cross_entropy(head(global_avg_pool2d(features)), Tensor::from<int64_t>({0, 2}, {2})).backward();
  for (const Parameter& p : net.parameters()) {
    CAPTURE(p.name());
    CHECK(p.grad().defined() == p.name().starts_with("head."));
  }
}

TEST_CASE("a state that does not fit is refused with every reason at once, and changes nothing") {
  Net net;
  StateDict state;
  for (const auto& [name, tensor] : net.state()) state[name] = Tensor::full(tensor.shape(), 7, tensor.dtype());
  state.erase("conv1.bias");
  state.erase("scale");
  state["extra"] = Tensor::ones({1});
  state["bn1.weight"] = Tensor::ones({5});
  state["bn1.bias"] = Tensor::ones({4}, DType::float64);
  state["bn1.running_mean"] = Tensor();
  const auto before = net.state().at("conv1.weight").to_vector<float>();
  const std::string message = error_of([&] { net.load(state); });
  for (const char* part : {"conv1.bias", "scale", "extra", "bn1.weight", "[5]", "[4]", "bn1.bias", "float64",
                           "bn1.running_mean is an undefined tensor, expected float32 [4]",
                           ". Convert dtypes with cast(). load_fitting() loads what fits and returns the rest"})
    CHECK_MESSAGE(contains(message, part), message);
  CHECK(net.state().at("conv1.weight").to_vector<float>() == before);
}

TEST_CASE("what fits is loaded, and what does not is returned with both shapes and stays as it was") {
  Net net;
  StateDict state;
  for (const auto& [name, tensor] : net.state()) state[name] = Tensor::full(tensor.shape(), 7, tensor.dtype());
  const StateDict whole = state;
  state.erase("conv1.bias");
  state["extra"] = Tensor::ones({1});
  state["bn1.weight"] = Tensor::ones({5});
  state["bn1.bias"] = Tensor::ones({4}, DType::float64);
  state["bn1.running_mean"] = Tensor();
  std::map<std::string, std::vector<char>> before;
  for (const auto& [name, tensor] : net.state()) before[name] = tensor.to_bytes();
  const StateDifference rest = net.load_fitting(state);
  CHECK(rest.missing == std::vector<std::string>{"conv1.bias"});
  CHECK(rest.unexpected == std::vector<std::string>{"extra"});
  REQUIRE(rest.different.size() == 3);
  CHECK(rest.different[2].name == "bn1.weight");
  CHECK(rest.different[2].given == "float32 [5]");
  CHECK(rest.different[2].expected == "float32 [4]");
  CHECK(to_string(rest) ==
        "missing: conv1.bias; unexpected: extra; different: bn1.bias is float64 [4], expected float32 [4], "
        "bn1.running_mean is an undefined tensor, expected float32 [4], bn1.weight is float32 [5], expected float32 "
        "[4]");
  for (const auto& item : net.state()) {
    const std::string& name = item.first;
    CAPTURE(name);
    const bool fits = name != "conv1.bias" && name != "bn1.weight" && name != "bn1.bias" && name != "bn1.running_mean";
    CHECK(item.second.to_bytes() == (fits ? whole.at(name).to_bytes() : before.at(name)));
  }
  CHECK_FALSE(rest.empty());
  CHECK(net.load_fitting(whole).empty());
  CHECK(to_string(net.load_fitting(whole)).empty());
}

TEST_CASE("a state of which nothing fits is refused with every reason, and changes nothing") {
  Net net;
  const auto before = net.state().at("conv1.weight").to_vector<float>();
  StateDict state;
  for (const auto& [name, tensor] : net.state())
    state["module." + name] = Tensor::zeros(tensor.shape(), tensor.dtype());
  state["scale"] = Tensor::ones({4});
  const auto refusal = [&](const StateDict& given) {
    return error_of([&] { static_cast<void>(net.load_fitting(given)); });
  };
  const std::string message = refusal(state);
  for (const char* part :
       {"[load] nothing of the state fits the model; missing: bn1.bias, ", "; unexpected: module.bn1",
        "; different: scale is float32 [4], expected float32 [4,1,1]. Rename"})
    CHECK_MESSAGE(contains(message, part), message);
  CHECK(Sequential(ReLU()).load_fitting({}).empty());
  CHECK(contains(refusal({}), "nothing of the state fits the model; missing: "));
  CHECK(net.state().at("conv1.weight").to_vector<float>() == before);
}

TEST_CASE("a trained body goes into a model with another head, which alone is trained on") {
  manual_seed(3);
  Sequential trained(Linear(4, 8), ReLU(), Linear(8, 1000)), net(Linear(4, 8), ReLU(), Linear(8, 5));
  const StateDifference rest = net.load_fitting(trained.state());
  CHECK(to_string(rest) ==
        "different: 2.bias is float32 [1000], expected float32 [5], 2.weight is float32 [1000,8], "
        "expected float32 [5,8]");
  net.set_requires_grad(false);
  for (const Parameter& p : net.parameters())
    for (const auto& tensors : rest.different)
      if (p.name() == tensors.name) p.set_requires_grad(true);
  const Tensor x = random_normal({2, 4}, 0, 1, {.seed = 1});
  sum(net(x)).backward();
  for (const Parameter& p : net.parameters()) CHECK(p.grad().defined() == p.name().starts_with("2."));
  CHECK(net.state().at("0.weight").to_bytes() == trained.state().at("0.weight").to_bytes());
}

TEST_CASE("names of parts are unique, not empty and without dots") {
  Net net;
  CHECK(contains(error_of([&] { net.child("conv1", Linear(1, 1)); }), "already has a part named \"conv1\""));
  CHECK(contains(error_of([&] { net.parameter("conv1", Tensor::ones({1})); }), "already has"));
  CHECK(contains(error_of([&] { net.buffer("a.b", Tensor::ones({1})); }), "no dot"));
  CHECK(contains(error_of([&] { net.child("", Linear(1, 1)); }), "not empty"));
  net.buffer("count", Tensor::zeros({1}));
  CHECK(contains(error_of([&] { net.parameter("count", Tensor::ones({1})); }), "already has a part named \"count\""));
}

TEST_CASE("a parameter or buffer that holds nothing is refused by its name") {
  Net net;
  CHECK(
      contains(error_of([&] { net.parameter("a", Tensor()); }), "[module] the parameter \"a\" is an undefined tensor"));
  CHECK(contains(error_of([&] { net.buffer("b", Tensor()); }), "[module] the buffer \"b\" is an undefined tensor"));
}

TEST_CASE("a Hessian-vector product of a model is two differentiations with respect to its parameters") {
  manual_seed(1);
  Sequential net(Linear(3, 4), Tanh(), Linear(4, 2));
  const Tensor x = random_normal({5, 3}, 0, 1, {.seed = 1}), y = random_normal({5, 2}, 0, 1, {.seed = 2});
  const std::vector<Parameter> parameters = net.parameters();
  const auto slopes = [&](bool create_graph) {
    return grad(mse_loss(net(x), y), parameters, {.create_graph = create_graph});
  };
  std::vector<Var> direction;
  for (const Parameter& p : parameters)
    direction.emplace_back(random_normal(p.shape(), 0, 1, {.seed = 3, .stream = direction.size()}));
  const std::vector<Var> product = grad(slopes(true), parameters, {.seeds = direction});

  const auto moved = [&](double step) {
    for (size_t i = 0; i < parameters.size(); ++i) {
      Tensor value = parameters[i].value();
      add_(value, direction[i].value(), step);
    }
  };
  const double step = 1.0 / 64;
  moved(step);
  const std::vector<Var> above = slopes(false);
  moved(-2 * step);
  const std::vector<Var> below = slopes(false);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Tensor difference = (above[i].value() - below[i].value()) * (0.5 / step);
    CHECK(norm(product[i].value() - difference) < 3e-3 * norm(difference));
  }
}

TEST_CASE("a module that is moved keeps its children and works") {
  Net net;
  net.eval();
  const auto before = output(net);
  Net moved = std::move(net);
  CHECK(output(moved) == before);
}

TEST_CASE("what was moved from refuses calls") {
  Linear first(2, 3);
  Linear second(std::move(first));
  CHECK(second(Tensor::ones({1, 2})).shape() == Shape{1, 3});
  CHECK_THROWS_WITH_AS(first(Tensor::ones({1, 2})), doctest::Contains("[module] this module was moved from"), Error);
  Sequential empty, other(std::move(empty));
  CHECK_THROWS_AS(empty(Tensor::ones({1})), Error);
  CHECK(other(Tensor::ones({1})).shape() == Shape{1});
}

TEST_CASE("a module without forward says so when it is called") {
  class Silent : public Module {
   public:
    std::string describe() const override { return "Silent"; }
  } silent;
  CHECK(contains(error_of([&] { silent(Tensor::ones({1})); }), "Silent does not define forward"));
}

TEST_CASE("training and evaluation reach the whole tree, and EvalScope restores every module's own mode") {
  Net net;
  net.children()[1].second->eval();
  const auto modes = [&] {
    std::vector<bool> all;
    net.visit([&](const std::string&, Module& module) { all.push_back(module.training()); });
    return all;
  };
  const std::vector<bool> mixed = modes();
  CHECK(mixed == std::vector<bool>{true, true, false, true, true, true});
  {
    const EvalScope scope(net);
    CHECK(modes() == std::vector<bool>(6, false));
  }
  CHECK(modes() == mixed);
  net.train();
  CHECK(modes() == std::vector<bool>(6, true));
}

TEST_CASE("dropout draws are a function of seed, layer, step and call") {
  Sequential net(Dropout(0.5), Dropout(0.5));
  const auto draw = [](Module& layer) { return layer(Tensor::ones({64})).value().to_vector<float>(); };
  Module &first = *net.children()[0].second, &second = *net.children()[1].second;
  net.seed(3);
  net.set_step(10);
  const auto a = draw(first), again = draw(first), other = draw(second);
  CHECK(a != again);
  CHECK(a != other);
  net.set_step(11);
  CHECK(draw(first) != a);
  net.set_step(10);
  CHECK(draw(first) == a);
  CHECK(draw(first) == again);
  CHECK(draw(second) == other);
  net.seed(4);
  net.set_step(10);
  CHECK(draw(first) != a);
}

TEST_CASE("no module of a seeded tree draws the numbers of the weights of the same seed") {
  class Noise : public Module {
   public:
    using Module::child;
    Var forward(const Var& x) override { return random_uniform(x.value().shape(), 0, 1, next_draw()); }
  };
  const auto draw = [](Module& module) { return module(Tensor::zeros({64})).value().to_vector<float>(); };
  manual_seed(6);
  const Tensor weights = Tensor::zeros({64});
  init::uniform(weights, 0, 1);
  Noise root;
  Noise& below = root.child("below", Noise());
  root.seed(6);
  CHECK(draw(root) != weights.to_vector<float>());
  CHECK(draw(below) == random_uniform({64}, 0, 1, {.seed = 6, .stream = 1}).to_vector<float>());
}

TEST_CASE("a seed begins anew, at step 0 and its first draw") {
  Sequential net(Dropout(0.5));
  const auto draw = [&] { return net(Tensor::ones({64})).value().to_vector<float>(); };
  net.seed(3);
  const auto first = draw();
  net.set_step(7);
  CHECK(draw() != first);
  net.seed(3);
  CHECK(draw() == first);
}

TEST_CASE("modules that were never seeded draw from streams 1, 2, ... of the seed of the weights") {
  class Noise : public Module {
   public:
    Var forward(const Var& x) override { return random_uniform(x.value().shape(), 0, 1, next_draw()); }
  };
  manual_seed(6);
  Noise first, second;
  const auto expected = [](uint64_t stream) {
    return random_uniform({64}, 0, 1, {.seed = 6, .stream = stream}).to_vector<float>();
  };
  CHECK(first(Tensor::zeros({64})).value().to_vector<float>() == expected(1));
  CHECK(second(Tensor::zeros({64})).value().to_vector<float>() == expected(2));
}

TEST_CASE("a resumed run draws what the uninterrupted one drew") {
  const auto masks = [](Module& net, uint64_t from, uint64_t to) {
    std::vector<std::vector<float>> all;
    for (uint64_t step = from; step < to; ++step) {
      net.set_step(step);
      all.push_back(net(Tensor::ones({32})).value().to_vector<float>());
    }
    return all;
  };
  Sequential whole(Dropout(0.3), Dropout(0.3)), resumed(Dropout(0.3), Dropout(0.3));
  whole.seed(5);
  resumed.seed(5);
  const auto all = masks(whole, 0, 6), rest = masks(resumed, 3, 6);
  CHECK(std::vector(all.begin() + 3, all.end()) == rest);
}

TEST_CASE("models built after equal seeds are equal, and draw alike") {
  manual_seed(9);
  Net a;
  manual_seed(9);
  Net b;
  Net c;
  CHECK(output(a) == output(b));
  CHECK(output(a) != output(c));
}

TEST_CASE("a scope of another dtype ends where it stood, casts float32 alone, and refuses what no parameter is") {
  class Own : public Module {
   public:
    Own() : exact_(parameter("exact", Tensor::ones({1}, DType::float64))) {}

   private:
    Parameter exact_;
  };
  const auto dtype = [] { return Linear(1, 1).weight().dtype(); };
  {
    const DefaultDType outer(DType::float64);
    {
      const DefaultDType inner(DType::float32);
      CHECK(dtype() == DType::float32);
    }
    CHECK(dtype() == DType::float64);
  }
  CHECK(dtype() == DType::float32);
  CHECK(Own().parameters()[0].dtype() == DType::float64);
  CHECK(contains(error_of([] { const DefaultDType wrong{DType::bfloat16}; }),
                 "[module] parameters are float32 or float64"));
}

TEST_CASE("what fits is not loaded from the model's own tensors, and a child is not null") {
  Net net;
  CHECK(contains(error_of([&] { static_cast<void>(net.load_fitting(net.state())); }), "there is nothing to load"));
  class Open : public Module {
   public:
    using Module::add_child;
  } open;
  CHECK(error_of([&] { open.add_child("none", nullptr); }) == "[module] the child \"none\" is null");
}

TEST_CASE("observers of calls nest, and the outer one sees again when the inner one is gone") {
  Linear layer(2, 2);
  int outer = 0, inner = 0;
  const CallObserver all([&](const Module&, const Var&, const Var&) { ++outer; });
  {
    const CallObserver some([&](const Module&, const Var&, const Var&) { ++inner; });
    layer(Tensor::ones({1, 2}));
  }
  layer(Tensor::ones({1, 2}));
  CHECK(inner == 1);
  CHECK(outer == 1);
}
