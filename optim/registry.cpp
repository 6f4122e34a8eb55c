#include "optim/registry.h"

#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/joined.h"
#include "optim/contrib/lion.h"
#include "optim/contrib/muon.h"
#include "optim/contrib/prodigy.h"
#include "optim/contrib/shampoo.h"
#include "optim/rules/adagrad.h"
#include "optim/rules/adahesscale.h"
#include "optim/rules/adahessian.h"
#include "optim/rules/adam.h"
#include "optim/rules/rmsprop.h"
#include "optim/rules/sgd.h"

namespace gradus::optim {
namespace {

struct Entry {
  const char* name;
  double default_lr;
  AnyRule (*make)(const RuleChoice& choice);
};

/// A rule of which the learning rate alone is chosen.
template <class T>
AnyRule with_lr(const RuleChoice& choice) {
  T rule;
  rule.lr = *choice.lr;
  return rule;
}

AnyRule momentum(const RuleChoice& c) { return Sgd{.lr = *c.lr, .momentum = c.momentum}; }
AnyRule nesterov(const RuleChoice& c) { return Sgd{.lr = *c.lr, .momentum = c.momentum, .nesterov = true}; }
AnyRule gauss_newton(const RuleChoice& c) {
  return AdaHesScale{.lr = *c.lr, .curvature = {.method = CurvatureMethod::hesscale_gn}};
}
AnyRule becker_lecun(const RuleChoice& c) {
  return AdaHesScale{.lr = *c.lr, .curvature = {.method = CurvatureMethod::bl89}};
}
AnyRule adahessian(const RuleChoice& c) {
  return AdaHessian{.lr = *c.lr, .curvature = {.method = CurvatureMethod::hutchinson, .key = {.seed = c.seed}}};
}

const std::array<Entry, 15> entries{{{"sgd", 0, with_lr<Sgd>},
                                     {"momentum", 0, momentum},
                                     {"nesterov", 0, nesterov},
                                     {"adam", Adam().lr, with_lr<Adam>},
                                     {"adamw", AdamW().lr, with_lr<AdamW>},
                                     {"rmsprop", 1e-3, with_lr<RmsProp>},
                                     {"adagrad", AdaGrad().lr, with_lr<AdaGrad>},
                                     {"adahesscale", Adam().lr, with_lr<AdaHesScale>},
                                     {"adahesscale-gn", Adam().lr, gauss_newton},
                                     {"adahesscale-bl89", Adam().lr, becker_lecun},
                                     {"adahessian", AdaHessian().lr, adahessian},
                                     {"lion", Lion().lr, with_lr<Lion>},
                                     {"muon", Muon().lr, with_lr<Muon>},
                                     {"prodigy", Prodigy().lr, with_lr<Prodigy>},
                                     {"shampoo", Shampoo().lr, with_lr<Shampoo>}}};

const Entry& entry(const std::string& name) {
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.name == name; });
  if (found != entries.end()) return *found;
  fail(ErrorKind::value, "make_rule", "there is no rule '", name, "': choose one of ", joined(entries, &Entry::name));
}

}  // namespace

std::vector<std::string> rule_names() {
  std::vector<std::string> names;
  for (const Entry& e : entries) names.emplace_back(e.name);
  return names;
}

AnyRule make_rule(RuleChoice choice) {
  const Entry& known = entry(choice.name);
  if (!choice.lr && known.default_lr == 0)
    fail(ErrorKind::value, "make_rule", "the learning rate of '", choice.name, "' depends on the network: choose one");
  if (!choice.lr) choice.lr = known.default_lr;
  return known.make(choice);
}
double default_lr(const std::string& name) { return entry(name).default_lr; }

}  // namespace gradus::optim
