// Saving and loading: resumed runs are bit-equal, and a state that does not fit is refused as a whole.
#include <doctest/doctest.h>

#include "autograd/ops.h"
#include "core/error.h"
#include "optim/optimizer.h"

using namespace gradus;
using namespace gradus::optim;

namespace {

struct SmallNet {
  std::vector<Parameter> parameters;

  explicit SmallNet(uint64_t seed) {
    const auto add = [&](const Shape& shape, ParamInfo info) {
      parameters.emplace_back(random_normal(shape, 0, 0.5, {.seed = seed, .stream = parameters.size()}), info);
    };
    add({4, 3, 3, 3}, {"conv.weight", LayerKind::conv, ParamRole::weight, 4, 3, {3, 3}});
    add({4}, {"conv.bias", LayerKind::conv, ParamRole::bias, 4, 3, {3, 3}});
    add({5, 16}, {"fc.weight", LayerKind::linear, ParamRole::weight, 5, 16});
  }
  Var loss(uint64_t step) const {
    const Tensor x = random_normal({2, 3, 4, 4}, 0, 1, {.seed = 100 + step});
    const Var h = conv2d(x, parameters[0], parameters[1]);
    return sum(square(linear(tanh(flatten(h, 1)), parameters[2])));
  }
};

Optimizer make(const SmallNet& net, const AnyRule& rule, const AnyPreconditioner& preconditioner) {
  return over(net.parameters)
      .rule(rule)
      .precondition(preconditioner)
      .schedule(optim::step(3, 0.5))
      .clip({.norm = 50})
      .weight_decay({.rate = 1e-3, .where = is_weight})
      .build();
}

void train(const SmallNet& net, Optimizer& optimizer, int64_t until) {
  while (optimizer.steps() < until) {
    optimizer.zero_grad();
    net.loss(static_cast<uint64_t>(optimizer.steps())).backward();
    optimizer.step();
  }
}

StateDict cloned(StateDict state) {
  for (auto& [name, tensor] : state) tensor = clone(tensor);
  return state;
}

}  // namespace

TEST_CASE("a resumed run is bit-equal to an uninterrupted one") {
  const AnyRule rules[] = {Sgd{.lr = 1e-3, .momentum = 0.9}, RmsProp{.lr = 1e-3, .momentum = 0.5, .centered = true},
                           AdaGrad{.lr_decay = 0.1}, AdamW{}};
  const AnyPreconditioner preconditioners[] = {NoPreconditioner{},
                                               Fop{},
                                               Fop{.norm = Fop::Norm::through, .learning = {.exact = true}},
                                               Fop{.rescale = Fop::Rescale{}, .rank = 3},
                                               Fop{.learning = {.acts_on = ActsOn::direction}},
                                               SHd{.hyper = Sgd{.lr = 1e-3, .momentum = 0.9}},
                                               PpHd{.learning = {.update_first = true}}};
  for (const AnyRule& rule : rules)
    for (const AnyPreconditioner& preconditioner : preconditioners) {
      CAPTURE(rule.name());
      CAPTURE(preconditioner.name());
      const SmallNet whole(1), stopped(1), resumed(2);
      Optimizer a = make(whole, rule, preconditioner);
      train(whole, a, 7);

      Optimizer b = make(stopped, rule, preconditioner);
      train(stopped, b, 4);
      Optimizer c = make(resumed, rule, preconditioner);
      c.load(cloned(b.state()));
      for (size_t i = 0; i < 3; ++i) {
        Tensor to = resumed.parameters[i].value();
        copy_(to, stopped.parameters[i].value());
      }
      train(resumed, c, 7);

      for (size_t i = 0; i < 3; ++i)
        CHECK(resumed.parameters[i].value().to_vector<float>() == whole.parameters[i].value().to_vector<float>());
      const StateDict expected = a.state(), got = c.state();
      REQUIRE(got.size() == expected.size());
      for (const auto& slot : expected) {
        CAPTURE(slot.first);
        CHECK(sum(cast(not_equal(slot.second, got.at(slot.first)), DType::float64)).item() == 0);
      }
    }
}

TEST_CASE("slots are named by parameter, stage and meaning") {
  const SmallNet net(1);
  Optimizer optimizer = make(net, Sgd{.lr = 1e-3, .momentum = 0.9}, Fop{});
  const StateDict state = optimizer.state();
  for (const char* name :
       {"optimizer/step", "group.0/lr", "group.0/momentum", "group.0/weight_decay", "group.0/hyper.lr",
        "conv.bias/sgd.velocity", "conv.weight/sgd.velocity", "conv.weight/fop.factor", "conv.weight/fop.previous",
        "conv.weight/fop.previous_lr", "conv.weight/fop.adam.first_moment", "fc.weight/fop.adam.steps"})
    CHECK_MESSAGE(state.contains(name), name);
  CHECK_FALSE(state.contains("conv.bias/fop.factor"));
  CHECK(state.at("conv.weight/fop.factor").shape() == Shape{9, 9});
  CHECK(state.at("conv.weight/fop.previous").shape() == Shape{0});
  train(net, optimizer, 1);
  CHECK(optimizer.state().at("conv.weight/fop.previous").shape() == Shape{4, 3, 3, 3});
}

TEST_CASE("what one kind of preconditioner learned is refused by another kind whose tensors have the same shapes") {
  using Form = Fop::Form;
  const SmallNet net(1);
  const auto with = [&](Form form, ActsOn acts_on) {
    return make(net, Sgd{.lr = 1e-3}, Fop{.form = form, .learning = {.acts_on = acts_on}});
  };
  const std::vector<std::pair<Form, ActsOn>> kinds = {{Form::factor, ActsOn::gradient},
                                                      {Form::identity_plus, ActsOn::gradient},
                                                      {Form::direct, ActsOn::gradient},
                                                      {Form::direct_unsymmetric, ActsOn::gradient},
                                                      {Form::direct, ActsOn::direction}};
  for (size_t from = 0; from < kinds.size(); ++from)
    for (size_t to = 0; to < kinds.size(); ++to) {
      CAPTURE(from);
      CAPTURE(to);
      Optimizer saved = with(kinds[from].first, kinds[from].second), other = with(kinds[to].first, kinds[to].second);
      if (from == to)
        CHECK_NOTHROW(other.load(cloned(saved.state())));
      else
        CHECK_THROWS_WITH_AS(other.load(cloned(saved.state())), doctest::Contains("fop."), Error);
    }
}

TEST_CASE("a momentum that was raised from 0 is part of what a loaded preconditioner learns from") {
  const auto make = [](const Parameter& w) {
    return over({w})
        .rule(Sgd{.lr = 0.1, .momentum = 0, .nesterov = true})
        .precondition(SHd{.hyper = Sgd{.lr = 0.1}})
        .build();
  };
  const auto last = [&](bool resumed) {
    Parameter w(Tensor::ones({1, 2}, DType::float64), {"w", LayerKind::linear, ParamRole::weight, 1, 2});
    Optimizer first = make(w), second = make(w);
    first.set("momentum", 0.9);
    for (int t = 0; t < 4; ++t) {
      Optimizer& optimizer = resumed && t == 3 ? second : first;
      if (resumed && t == 3) second.load(clone(first.state()));
      w.set_grad(w.value() * 0.5);
      optimizer.step();
    }
    return w.value().to_vector<double>();
  };
  CHECK(last(true) == last(false));
}

TEST_CASE("hyperparameters of a group are not given to other parameters that have its number") {
  const SmallNet net(1);
  const auto over_in_order = [&](std::vector<size_t> order) {
    std::vector<Parameter> parameters;
    for (size_t i : order) parameters.push_back(net.parameters[i]);
    return over(parameters).rule(Sgd{.lr = 0.1}).group(is_bias, {.lr = 0.001}).build();
  };
  const Optimizer first = over_in_order({0, 1, 2});
  Optimizer other = over_in_order({1, 0, 2});
  CHECK_THROWS_WITH_AS(other.load(clone(first.state())),
                       "[load] 'group.0' of the state has hyperparameters of other parameters than here: build the "
                       "optimizer over the same parameters, in the same order, with the same groups",
                       Error);
  CHECK(other.settings(0).at("lr") == 0.001);
  over_in_order({2, 1, 0}).load(clone(first.state()));  // the groups are the same
}

TEST_CASE("a state saved before the first step loads, also over one from later") {
  const SmallNet net(1);
  Optimizer optimizer = make(net, Sgd{.lr = 1e-3, .momentum = 0.9}, Fop{});
  const StateDict fresh = cloned(optimizer.state());
  train(net, optimizer, 3);
  optimizer.load(fresh);
  CHECK(optimizer.steps() == 0);
  CHECK(optimizer.state().at("conv.weight/fop.previous").shape() == Shape{0});
  CHECK(norm(optimizer.state().at("conv.weight/sgd.velocity")) == 0);
}

TEST_CASE("a state loads over an optimizer that made as many steps of its own") {
  // Memory that is loaded into counts its writes anew, up to where the optimizer's own count may stand.
  const AnyPreconditioner preconditioner =
      Fop{.hyper = Sgd{.lr = 1e-2}, .form = Fop::Form::factor, .learning = {.include_lr = false}};
  for (const int64_t steps : {1, 2, 3, 4}) {
    CAPTURE(steps);
    const SmallNet whole(1), other(2);
    Optimizer a = make(whole, Sgd{.lr = 1e-3}, preconditioner), b = make(other, Sgd{.lr = 1e-3}, preconditioner);
    train(whole, a, steps);
    train(other, b, steps);
    b.load(cloned(a.state()));
    for (size_t i = 0; i < 3; ++i) {
      Tensor to = other.parameters[i].value();
      copy_(to, whole.parameters[i].value());
    }
    train(whole, a, steps + 1);
    train(other, b, steps + 1);
    for (size_t i = 0; i < 3; ++i)
      CHECK(other.parameters[i].value().to_vector<float>() == whole.parameters[i].value().to_vector<float>());
  }
}

TEST_CASE("loading a state brings its hyperparameters") {
  const SmallNet net(1);
  Optimizer a = make(net, Sgd{.lr = 0.5}, NoPreconditioner{}), b = make(net, Sgd{.lr = 0.1}, NoPreconditioner{});
  b.load(a.state());
  CHECK(b.lr() == 0.5);
}

TEST_CASE("loading names everything that is wrong in one error and changes nothing") {
  const SmallNet net(1);
  Optimizer optimizer = make(net, Sgd{.lr = 1e-3, .momentum = 0.9}, NoPreconditioner{});
  train(net, optimizer, 2);
  StateDict state = cloned(optimizer.state());
  for (auto& [name, tensor] : state)
    if (tensor.dtype() == DType::float32) fill_(tensor, 3);
  state.erase("fc.weight/sgd.velocity");
  state.emplace("fc.weight/adam.steps", Tensor::zeros({}));
  state.at("conv.bias/sgd.velocity") = Tensor::zeros({5});
  state.at("group.0/lr") = Tensor::zeros({}, DType::float32);
  const double before = norm(optimizer.state().at("conv.weight/sgd.velocity"));
  CHECK_THROWS_WITH_AS(optimizer.load(state),
                       "[load] the state does not fit the optimizer; missing: fc.weight/sgd.velocity; unexpected: "
                       "fc.weight/adam.steps; different: conv.bias/sgd.velocity is float32 [5], expected float32 [4], "
                       "group.0/lr is float32 [], expected float64 []. Convert dtypes with cast()",
                       Error);
  CHECK(norm(optimizer.state().at("conv.weight/sgd.velocity")) == before);
}

TEST_CASE("names from a file are listed on one line") {
  const SmallNet net(1);
  Optimizer optimizer = make(net, Sgd{.lr = 1e-3}, NoPreconditioner{});
  StateDict state = cloned(optimizer.state());
  state.emplace("a\nb" + std::string(1000, 'c'), Tensor::zeros({}));
  std::string message;
  try {
    optimizer.load(state);
  } catch (const Error& error) {
    message = error.what();
  }
  CHECK(message.find("unexpected: a?bccc") != message.npos);
  CHECK(message.size() < 200);
}

TEST_CASE("the kept gradient of another shape is refused") {
  const SmallNet net(1);
  Optimizer optimizer = make(net, Sgd{.lr = 1e-3}, Fop{});
  StateDict state = cloned(optimizer.state());
  state.at("conv.weight/fop.previous") = Tensor::zeros({4, 3, 3});
  CHECK_THROWS_AS(optimizer.load(state), Error);
}

TEST_CASE("an empty tensor stands for a kept gradient alone") {
  const SmallNet net(1);
  Optimizer optimizer = make(net, Sgd{.lr = 1e-3, .momentum = 0.9}, Fop{});
  StateDict state = cloned(optimizer.state());
  state.at("conv.bias/sgd.velocity") = Tensor::zeros({0});
  CHECK_THROWS_WITH_AS(optimizer.load(state),
                       doctest::Contains("different: conv.bias/sgd.velocity is float32 [0], expected float32 [4]"),
                       Error);
}

TEST_CASE("loading does not write to the gradient that was kept, which is the user's") {
  const Parameter w(Tensor::zeros({1, 2}), {"w", LayerKind::linear, ParamRole::weight, 1, 2});
  Optimizer optimizer = over({w}).rule(Sgd{}).precondition(SHd{}).build();
  w.set_grad(Tensor::full({1, 2}, 5));
  optimizer.step();
  const StateDict kept = cloned(optimizer.state());
  const Tensor g = Tensor::ones({1, 2});
  w.set_grad(g);
  optimizer.step();
  optimizer.load(kept);
  CHECK(g.to_vector<float>() == std::vector<float>{1, 1});
  CHECK(optimizer.state().at("w/s-hd.previous").to_vector<float>() == std::vector<float>{5, 5});
}

TEST_CASE("a state that was not cloned is refused after further steps, a cloned one brings them back") {
  const Parameter w(Tensor::ones({3}, DType::float64), {.name = "w"});
  Optimizer optimizer = over({w}).rule(Adam{}).build();
  const auto train = [&](int64_t steps) {
    for (int64_t i = 0; i < steps; ++i) {
      w.set_grad(Tensor::full({3}, static_cast<double>(i), DType::float64));
      optimizer.step();
    }
  };
  train(3);
  const StateDict alias = optimizer.state(), kept = clone(alias);
  optimizer.load(alias);  // nothing has happened since
  train(2);
  CHECK_THROWS_WITH_AS(optimizer.load(alias), doctest::Contains("shares its memory with the optimizer"), Error);
  CHECK(optimizer.steps() == 5);
  optimizer.load(kept);
  CHECK(optimizer.steps() == 3);
  for (const auto& [name, tensor] : optimizer.state())
    CHECK(cast(tensor, DType::float64).to_vector<double>() == cast(kept.at(name), DType::float64).to_vector<double>());
}
