// The fused step, one kernel call for all parameters, against the step of one parameter at a time: every rule with
// every preconditioner that has a fused form.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "core/accelerator.h"
#include "core/ops.h"
#include "core/random.h"
#include "optim/optimizer.h"

using namespace gradus;
using namespace gradus::optim;

namespace {

/// A rule that hides its fused form.
struct UnfusedRule {
  static constexpr const char* name = "rule";
  AnyRule rule;
  Settings settings() const { return rule.settings(); }
  std::unique_ptr<Rule> make(const Tensor& parameter) const {
    class Hidden final : public Rule {
     public:
      explicit Hidden(std::unique_ptr<Rule> rule) : rule_(std::move(rule)) {}
      Tensor direction(const Tensor& g, const Settings& settings) override { return rule_->direction(g, settings); }
      void slots(Slots& slots) override { rule_->slots(slots); }
      double gain(const Settings& settings) const override { return rule_->gain(settings); }

     private:
      std::unique_ptr<Rule> rule_;
    };
    return std::make_unique<Hidden>(rule.make(parameter));
  }
};

/// A preconditioner that hides its fused form: to the optimizer, a user's own.
struct UnfusedPreconditioner {
  static constexpr const char* name = "preconditioner";
  AnyPreconditioner preconditioner;
  AnyRule hyper = preconditioner.hyper();
  Learning learning = preconditioner.learning();
  std::unique_ptr<Preconditioner> make(const Site& site) const {
    class Hidden final : public Preconditioner {
     public:
      explicit Hidden(std::unique_ptr<Preconditioner> inner) : inner_(std::move(inner)) {}
      Tensor initial() const override { return inner_->initial(); }
      Tensor apply(const Tensor& m, const Tensor& x, const StepInfo& at) const override {
        return inner_->apply(m, x, at);
      }
      Tensor gradient(const Tensor& m, const Tensor& g, const Tensor& x, const StepInfo& at) const override {
        return inner_->gradient(m, g, x, at);
      }
      Learning learning(Learning chosen) const override { return inner_->learning(chosen); }

     private:
      std::unique_ptr<Preconditioner> inner_;
    };
    auto inner = preconditioner.make(site);
    return inner ? std::make_unique<Hidden>(std::move(inner)) : nullptr;
  }
};

const AnyRule rules[] = {Sgd{.lr = 0.01},
                         Sgd{.lr = 0.01, .momentum = 0.9},
                         AdaGrad{.lr = 0.01, .lr_decay = 0.5},
                         Sgd{.lr = 0.01, .momentum = 0.9, .nesterov = true},
                         Adam{.lr = 0.01},
                         AdamW{.lr = 0.01},
                         RmsProp{.lr = 0.01, .momentum = 0.5},
                         RmsProp{.lr = 0.01, .centered = true}};

struct Case {
  AnyPreconditioner preconditioner;
  bool same_bits;  ///< the fused form adds and multiplies in the same order
};
// Hypergradients are sums over hundreds of products of size 0.1: these rates move P by about 0.1 in a few steps.
const Case cases[] = {{NoPreconditioner{}, true},
                      {PpHd{.hyper = Adam{.lr = 0.02}}, true},
                      {PpHd{.hyper = Sgd{.lr = 50, .momentum = 0.5}}, true},
                      {PpHd{.hyper = RmsProp{.lr = 0.02}}, true},
                      {PpHd{.hyper = RmsProp{.lr = 0.02, .centered = true}}, true},
                      {PpHd{.hyper = AdamW{.lr = 0.02}, .learning = {.include_lr = false}}, true},
                      {PpHd{.hyper = Adam{.lr = 0.02}, .positive = true}, true},
                      {SHd{.hyper = Sgd{.lr = 0.5}}, false},
                      {SHd{.hyper = Adam{.lr = 0.02}, .form = SHd::Form::positive}, false},
                      {SHd{.hyper = Sgd{.lr = 1e-3}, .form = SHd::Form::baydin}, false},
                      {Fop{.hyper = Sgd{.lr = 0.5}}, false},
                      {Fop{.hyper = Adam{.lr = 0.02}}, false},
                      {Fop{.hyper = Adam{.lr = 0.02}, .rank = 3, .init_gain = 0.5}, false},
                      {Fop{.hyper = Adam{.lr = 0.02}, .init_gain = 0.5}, false},
                      {Fop{.hyper = Adam{.lr = 0.02}, .form = Fop::Form::factor}, false},
                      {Fop{.hyper = Adam{.lr = 0.02}, .form = Fop::Form::direct}, false},
                      {Fop{.hyper = Adam{.lr = 0.02}, .form = Fop::Form::direct_unsymmetric}, false},
                      {Fop{.hyper = RmsProp{.lr = 0.02, .centered = true}, .form = Fop::Form::direct}, false},
                      {Fop{.hyper = Adam{.lr = 0.02}, .norm = Fop::Norm::through}, false},
                      {Fop{.hyper = Adam{.lr = 0.02}, .norm = Fop::Norm::constant}, false},
                      {Fop{.hyper = Adam{.lr = 0.02}, .rescale = Fop::Rescale{.through = true}}, false},
                      {Fop{.hyper = Adam{.lr = 0.02}, .learning = {.update_first = true}}, false},
                      {Fop{.hyper = Adam{.lr = 0.02}, .learning = {.exact = true}}, false},
                      {Fop{.hyper = Adam{.lr = 0.02}, .learning = {.count_first = true}}, false},
                      {Fop{.hyper = Adam{.lr = 0.02}, .learning = {.acts_on = ActsOn::direction}}, false}};

/// Parameters of every kind that a preconditioner tells apart, more than a tile of the largest.
std::vector<Parameter> parameters(DType dtype) {
  std::vector<Parameter> all;
  const auto add = [&](const Shape& shape, const ParamInfo& info) {
    all.emplace_back(random_normal(shape, 0, 0.5, {.seed = 1, .stream = all.size()}, dtype), info);
  };
  add({20, 9, 3, 3}, {"nine.weight", LayerKind::conv, ParamRole::weight, 20, 9, {3, 3}});
  add({20}, {"nine.bias", LayerKind::conv, ParamRole::bias, 20, 9, {3, 3}});
  add({6, 8, 5, 5}, {"five.weight", LayerKind::conv, ParamRole::weight, 6, 8, {5, 5}});
  add({6, 5, 1, 1}, {"one.weight", LayerKind::conv, ParamRole::weight, 6, 5, {1, 1}});
  add({2, 1, 3, 3}, {"thin.weight", LayerKind::conv, ParamRole::weight, 2, 1, {3, 3}});
  add({5, 12}, {"fc.weight", LayerKind::linear, ParamRole::weight, 5, 12});
  add({20, 12}, {"tall.weight", LayerKind::linear, ParamRole::weight, 20, 12});
  return all;
}

/// Where a gradient comes in step t: one parameter's stays away now and then.
bool has_gradient(size_t parameter, int64_t step) {
  return !(parameter == 0 && step == 2) && !(parameter == 2 && step == 0);
}

/// Steps on random gradients from step `from` to `until`.
void train(const std::vector<Parameter>& all, Optimizer& optimizer, int64_t until) {
  while (optimizer.steps() < until) {
    for (size_t i = 0; i < all.size(); ++i) {
      const RandomKey key{.seed = 7, .stream = 100 * static_cast<uint64_t>(optimizer.steps()) + i};
      has_gradient(i, optimizer.steps())
          ? all[i].set_grad(random_normal(all[i].shape(), 0.05, 0.3, key, all[i].dtype()))
          : all[i].clear_grad();
    }
    optimizer.step();
  }
}

constexpr DecayMode modes[] = {DecayMode::coupled, DecayMode::after_preconditioner, DecayMode::decoupled};

Optimizer make(const std::vector<Parameter>& all, const AnyRule& rule, const AnyPreconditioner& preconditioner,
               const std::optional<DecayMode>& decay) {
  Builder builder = over(all);
  builder.rule(rule).precondition(preconditioner).schedule(step(2, 0.5));
  if (decay) builder.weight_decay({.rate = 0.1, .mode = *decay, .where = is_weight}).clip({.norm = 8, .value = 0.5});
  return builder.build();
}

constexpr int64_t steps = 6;

std::vector<Tensor> trained(DType dtype, const AnyRule& rule, const AnyPreconditioner& preconditioner,
                            const std::optional<DecayMode>& decay) {
  const std::vector<Parameter> all = parameters(dtype);
  Optimizer optimizer = make(all, rule, preconditioner, decay);
  train(all, optimizer, steps);
  std::vector<Tensor> values;
  for (const Parameter& p : all) values.push_back(p.value());
  return values;
}

double distance(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = max(abs(cast(a[i], DType::float64) - cast(b[i], DType::float64))).item();
    worst = std::isnan(d) ? d : std::max(worst, d);
  }
  return worst;
}

/// Of the values after training, for the decays and clips that there are.
template <class Check>
void for_each_combination(Check&& check) {
  for (const AnyRule& rule : rules)
    for (const Case& c : cases)
      for (int mode = -1; mode < 3; ++mode) {
        CAPTURE(rule.name());
        CAPTURE(&c - cases);
        CAPTURE(mode);
        check(rule, c, mode < 0 ? std::nullopt : std::optional(modes[mode]));
      }
}

}  // namespace

TEST_CASE("in float64 the fused step is the step of one parameter at a time") {
  // A few thousand roundings of values up to 10, most of which average out.
  for_each_combination([](const AnyRule& rule, const Case& c, const std::optional<DecayMode>& decay) {
    const std::vector<Tensor> fused = trained(DType::float64, rule, c.preconditioner, decay);
    const UnfusedRule plain_rule{rule};
    const AnyPreconditioner plain =
        c.preconditioner.name() == "none" ? c.preconditioner : UnfusedPreconditioner{c.preconditioner};
    CHECK(distance(fused, trained(DType::float64, plain_rule, plain, decay)) < 1e-12);
    CHECK(distance(fused, trained(DType::float64, rule, plain, decay)) < 1e-12);
    CHECK(distance(fused, trained(DType::float64, plain_rule, c.preconditioner, decay)) < 1e-12);
  });
}

TEST_CASE("in float32 it has the same bits where sums are formed in the same order") {
  for_each_combination([](const AnyRule& rule, const Case& c, const std::optional<DecayMode>& decay) {
    const std::vector<Tensor> fused = trained(DType::float32, rule, c.preconditioner, decay);
    const AnyPreconditioner plain =
        c.preconditioner.name() == "none" ? c.preconditioner : UnfusedPreconditioner{c.preconditioner};
    const double apart = distance(fused, trained(DType::float32, UnfusedRule{rule}, plain, decay));
    // Otherwise sums over up to 180 rows differ by some 200 roundings, relative to sums of absolute values that are a
    // few times larger; inner rules pass that on as it is, and steps are below 0.1 in all. The GPU computes a fused
    // step in float64 and rounds what it stores, so its bits are its own.
    CHECK(apart <= (c.same_bits && device_name() == "cpu" ? 0 : 2e-5));
  });
}

TEST_CASE("the learned preconditioners move far enough for a fault to show") {
  const std::vector<Tensor> none = trained(DType::float32, rules[1], NoPreconditioner{}, std::nullopt);
  for (const Case& c : cases)
    if (c.preconditioner.name() != "none") {
      CAPTURE(&c - cases);
      CHECK(distance(none, trained(DType::float32, rules[1], c.preconditioner, std::nullopt)) > 1e-4);
    }
}

TEST_CASE("a fused run resumes bit for bit, in the middle of mixed groups") {
  const auto mixed = [](const std::vector<Parameter>& all) {
    return over(all)
        .rule(Sgd{.lr = 0.01, .momentum = 0.9})
        .precondition(Fop{.hyper = Adam{.lr = 0.02}})
        .weight_decay({.rate = 0.1})
        .group(named("five."), {.rule = Adam{.lr = 0.01}, .preconditioner = PpHd{}})
        .group(named("one."), {.rule = AdaGrad{.lr = 0.01}, .preconditioner = SHd{}})
        .group(named("fc."), {.lr = 0.02, .settings = {{"momentum", 0.5}}})
        .build();
  };
  const std::vector<Parameter> whole = parameters(DType::float32), stopped = parameters(DType::float32);
  std::vector<Parameter> resumed = parameters(DType::float32);
  Optimizer a = mixed(whole), b = mixed(stopped), c = mixed(resumed);
  CHECK(a.groups() == 4);
  train(whole, a, steps);
  train(stopped, b, steps / 2);
  c.load(b.state());
  for (size_t i = 0; i < stopped.size(); ++i) copy_(resumed[i].mutable_value(), stopped[i].value());
  train(resumed, c, steps);
  for (size_t i = 0; i < whole.size(); ++i)
    CHECK(whole[i].value().to_vector<float>() == resumed[i].value().to_vector<float>());
}

TEST_CASE("two parameters that have memory in common take their steps one after the other") {
  const Tensor shared = Tensor::ones({5});
  const ParamInfo a{.name = "a"}, b{.name = "b"};
  const std::vector<Parameter> tied = {{slice(shared, 0, 0, 4), a}, {slice(shared, 0, 1, 5), b}};
  Optimizer optimizer = over(tied).rule(Sgd{.lr = 1}).build();
  for (const Parameter& p : tied) p.set_grad(Tensor::ones({4}));
  optimizer.step();
  CHECK(shared.to_vector<float>() == std::vector<float>{0, -1, -1, -1, 0});
}

TEST_CASE("a kernel in channels-last memory, or with gradients in changing memory order, learns and steps alike") {
  const ParamInfo info{"w", LayerKind::conv, ParamRole::weight, 8, 9, {3, 3}};
  const Tensor start = random_normal({8, 9, 3, 3}, 0, 0.5, {.seed = 1}, DType::float64);
  for (const AnyPreconditioner& preconditioner :
       {AnyPreconditioner(Fop{.hyper = Sgd{.lr = 0.05}}), AnyPreconditioner(PpHd{.hyper = Adam{.lr = 0.02}})}) {
    CAPTURE(preconditioner.name());
    const auto after = [&](Layout value, const std::function<Layout(int)>& gradient) {
      const Parameter w(clone(contiguous(start, value)), info);
      Optimizer optimizer = over({w}).rule(Adam{.lr = 0.01}).precondition(preconditioner).build();
      for (int t = 0; t < 4; ++t) {
        const RandomKey key{.seed = 2, .stream = static_cast<uint64_t>(t)};
        w.set_grad(contiguous(random_normal(w.shape(), 0.05, 0.3, key, DType::float64), gradient(t)));
        optimizer.step();
      }
      return w.value().to_vector<double>();
    };
    const auto constant = [](Layout layout) { return [=](int) { return layout; }; };
    const auto alternating = [](int t) { return t % 2 == 0 ? Layout::channels_last : Layout::contiguous; };
    const std::vector<double> expected = after(Layout::contiguous, constant(Layout::contiguous));
    // Sums in another order: some hundred roundings of numbers of size 1 in four steps.
    for (const auto& other : {after(Layout::channels_last, constant(Layout::channels_last)),
                              after(Layout::contiguous, alternating), after(Layout::channels_last, alternating)})
      for (size_t i = 0; i < expected.size(); ++i) CHECK(std::abs(other[i] - expected[i]) < 1e-11);
  }
}

TEST_CASE("a parameter that is a view with gaps steps like any other, and leaves the gaps alone") {
  const Tensor whole = Tensor::full({2, 6}, 7), plain = Tensor::full({2, 3}, 7);
  const Parameter view(slice(whole, 1, 0, 6, 2), {.name = "view"}), dense(plain, {.name = "dense"});
  Optimizer optimizer = over({view, dense}).rule(Adam{.lr = 0.5}).build();
  for (int t = 0; t < 3; ++t) {
    view.set_grad(slice(Tensor::full({2, 6}, 1 + t), 1, 0, 6, 2));
    dense.set_grad(Tensor::full({2, 3}, 1 + t));
    optimizer.step();
  }
  CHECK(view.value().to_vector<float>() == dense.value().to_vector<float>());
  CHECK(dense.value().to_vector<float>()[0] < 6);
  CHECK(slice(whole, 1, 1, 6, 2).to_vector<float>() == std::vector<float>(6, 7));
}
