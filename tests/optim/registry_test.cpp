#include "optim/registry.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "autograd/ops.h"
#include "core/error.h"
#include "core/ops.h"
#include "optim/optimizer.h"

using namespace gradus;
using namespace gradus::optim;

TEST_CASE("every rule by name takes a step of the learning rate that was chosen") {
  for (const std::string& name : rule_names()) {
    CAPTURE(name);
    const AnyRule rule = make_rule({.name = name, .lr = 0.125});
    CHECK(rule.settings().at("lr") == 0.125);
    const Parameter w(random_normal({4, 3}, 0, 1, {.seed = 1}), {.name = "w"});
    const Tensor before = clone(w.value());
    Optimizer optimizer = over({w}).rule(rule).build();
    const auto loss = [&] { return sum(square(w)); };
    for (int i = 0; i < 3; ++i) {
      optimizer.zero_grad();
      optimizer.backward(loss());
      optimizer.step();
    }
    CHECK(all_finite(w.value()));
    CHECK(norm(w.value() - before) > 0);
  }
}

TEST_CASE("momentum and the forms of a rule differ in what they are told") {
  CHECK(make_rule({.name = "momentum", .lr = 1, .momentum = 0.5}).settings().at("momentum") == 0.5);
  CHECK(make_rule({.name = "nesterov", .lr = 1, .momentum = 0.25}).settings().at("momentum") == 0.25);
  CHECK(make_rule({.name = "adahesscale", .lr = 1}).curvature()->method == CurvatureMethod::hesscale);
  CHECK(make_rule({.name = "adahesscale-gn", .lr = 1}).curvature()->method == CurvatureMethod::hesscale_gn);
  CHECK(make_rule({.name = "adahesscale-bl89", .lr = 1}).curvature()->method == CurvatureMethod::bl89);
  CHECK(make_rule({.name = "adam"}).settings().at("lr") == Adam().lr);
  CHECK_THROWS_WITH_AS(make_rule({.name = "sgd"}),
                       "[make_rule] the learning rate of 'sgd' depends on the network: choose one", Error);
  const auto signs = make_rule({.name = "adahessian", .lr = 1, .seed = 7}).curvature();
  CHECK(signs->method == CurvatureMethod::hutchinson);
  CHECK(signs->key.seed == 7);
}

TEST_CASE("rules whose rate depends on the network have no default, the others have their struct's") {
  const std::set<std::string> without{"sgd", "momentum", "nesterov"};
  for (const std::string& name : rule_names()) CHECK((default_lr(name) == 0) == without.contains(name));
  CHECK(default_lr("adam") == Adam().lr);
  CHECK(default_lr("adahessian") == AdaHessian().lr);
  CHECK(default_lr("rmsprop") == Adam().lr);
}

TEST_CASE("an unknown rule is an error that lists the names") {
  CHECK_THROWS_WITH_AS(make_rule({.name = "adamm"}),
                       doctest::Contains("[make_rule] there is no rule 'adamm': choose one of sgd, momentum, "), Error);
  CHECK_THROWS_AS(default_lr(""), Error);
}
