// From a description to an optimizer: which options each parameter has, and which parameters share theirs.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/ranges.h"
#include "optim/optimizer_impl.h"

namespace gradus::optim {

namespace {

void check_predicate(const char* op, const Predicate& where) {
  if (!where) fail(ErrorKind::value, op, "expects a predicate, got an empty function");
}

}  // namespace

Builder& Builder::rule(AnyRule rule) {
  rule_ = std::move(rule);
  return *this;
}

Builder& Builder::precondition(AnyPreconditioner preconditioner) {
  preconditioner_ = std::move(preconditioner);
  return *this;
}

Builder& Builder::schedule(std::string setting, Schedule schedule) {
  schedules_.emplace_back(std::move(setting), std::move(schedule));
  return *this;
}

Builder& Builder::clip(Clip clip) {
  if (!(clip.norm >= 0) || !(clip.value >= 0))
    fail(ErrorKind::value, "clip", "expects limits of at least 0 (0 is none), got norm ", clip.norm, " and value ",
         clip.value);
  clip_ = clip;
  return *this;
}

Builder& Builder::weight_decay(WeightDecay decay) {
  check_predicate("weight_decay", decay.where);
  decay_ = std::move(decay);
  return *this;
}

Builder& Builder::scale_steps(StepScaling scaling) {
  if (!is_positive(scaling.delta) || !is_positive(scaling.max_scale) || !is_fraction(scaling.beta2))
    fail(ErrorKind::value, "scale_steps", "expects finite delta and max_scale above 0 and beta2 in [0, 1), got ",
         scaling.delta, ", ", scaling.max_scale, " and ", scaling.beta2);
  scaling_ = scaling;
  return *this;
}

Builder& Builder::l1(L1 penalty) {
  check_predicate("l1", penalty.where);
  if (!is_not_negative(penalty.rate))
    fail(ErrorKind::value, "l1", "expects a finite rate of at least 0, got ", penalty.rate);
  l1_ = std::move(penalty);
  return *this;
}

Builder& Builder::gradient_penalty(GradientPenalty penalty) {
  if (!is_positive(penalty.radius) || !is_not_negative(penalty.rate) || !is_not_negative(penalty.mix))
    fail(ErrorKind::value, "gradient_penalty",
         "expects a finite radius above 0, and a finite rate and mix of at least 0, got ", penalty.radius, ", ",
         penalty.rate, " and ", penalty.mix);
  if ((penalty.rate > 0) == (penalty.mix > 0))
    fail(ErrorKind::value, "gradient_penalty", "expects either a rate or a mix above 0, got ", penalty.rate, " and ",
         penalty.mix);
  gradient_penalty_ = penalty;
  return *this;
}

Builder& Builder::bnp(Bnp bnp) {
  check_predicate("bnp", bnp.where);
  if (!is_fraction(bnp.momentum)) fail(ErrorKind::value, "bnp", "expects a momentum in [0, 1), got ", bnp.momentum);
  if (!is_not_negative(bnp.relative) || !is_not_negative(bnp.absolute))
    fail(ErrorKind::value, "bnp", "expects finite additions to the variance of at least 0, got relative ", bnp.relative,
         " and absolute ", bnp.absolute);
  bnp_ = std::move(bnp);
  return *this;
}

Builder& Builder::group(Predicate where, Group overrides) {
  check_predicate("group", where);
  groups_.push_back({std::move(where), std::move(overrides)});
  return *this;
}

namespace {

using Overrides = std::vector<const Group*>;  ///< in order of precedence: the last wins

/// Everything about one group, overrides applied.
struct Resolved {
  AnyRule rule;
  AnyPreconditioner preconditioner;
  OptimizerGroup group;
};

// A group's own rate reaches also what the predicate leaves out.
bool has_rule_with_decay(const Overrides& overrides) {
  const auto last = std::find_if(overrides.rbegin(), overrides.rend(), [](const Group* by) { return by->rule; });
  return last != overrides.rend() && (*last)->rule->settings().contains("weight_decay");
}
bool has_decay(const Group* by) { return by->weight_decay || by->settings.contains("weight_decay"); }
bool has_l1(const Group* by) { return by->settings.contains("l1"); }

void override_settings(Settings& settings, const Group& by) {
  if (by.lr) settings.set("lr", *by.lr);
  if (by.weight_decay) settings.set("weight_decay", *by.weight_decay);
  for (const auto& [name, value] : by.settings) {
    settings.at(name);  // throws for a name that nothing has
    settings.set(name, value);
  }
}

/// The bias that stands beside the weight "LAYER.weight": the number of "LAYER.bias", if it is there.
std::optional<size_t> bias_of(const ParamInfo& weight, const std::vector<OptimizerItem>& items) {
  constexpr std::string_view suffix = "weight";
  if (!is_weight(weight) || !weight.name.ends_with(suffix)) return std::nullopt;
  const std::string name = weight.name.substr(0, weight.name.size() - suffix.size()) + "bias";
  for (size_t i = 0; i < items.size(); ++i)
    if (items[i].parameter.name() == name) return i;
  return std::nullopt;
}

void add_bnp(std::vector<OptimizerItem>& items, const Bnp& bnp) {
  for (OptimizerItem& item : items) {
    const ParamInfo& info = item.parameter.info();
    if (info.layer != LayerKind::linear && info.layer != LayerKind::conv) continue;
    const std::optional<size_t> bias = bias_of(info, items);
    if (!bias || !bnp.where(info)) continue;
    item.bias = *bias;
    item.bnp = std::make_shared<BnpLayer>(item.parameter, bnp);
    item.parameter.observe_input(item.bnp);
  }
}

void check_owned_step(const OptimizerItem& item, const OptimizerGroup& group, bool scaled) {
  const char* other = scaled                                                    ? "step scaling"
                      : item.learner && item.learner->acts_on_direction()       ? "a preconditioner of its directions"
                      : item.decays && group.decay_mode == DecayMode::decoupled ? "decoupled decay"
                                                                                : nullptr;
  if (other)
    fail(ErrorKind::value, "optimizer", "rule '", item.rule_name, "' of '", item.parameter.name(),
         "' follows the parameter's steps, and does not go with ", other);
}

void check_l1(const OptimizerItem& item, const L1& l1, const Settings& settings) {
  if (l1.mode == L1Mode::coupled) return;
  if (!item.rule->diagonal(settings))
    fail(ErrorKind::value, "l1", "rule '", item.rule_name, "' of '", item.parameter.name(),
         "' does not scale by a diagonal, which this mode needs; L1Mode::coupled needs none");
  if (item.learner)
    fail(ErrorKind::value, "l1", "'", item.parameter.name(), "' has the preconditioner '", item.preconditioner_name,
         "', whose inverse this mode would need; L1Mode::coupled does not");
}

void check_intrinsic(const OptimizerItem& item, const Settings& settings) {
  if (!item.rule->diagonal(settings))
    fail(ErrorKind::value, "gradient_penalty", "rule '", item.rule_name, "' of '", item.parameter.name(),
         "' does not scale by a diagonal, which .intrinsic needs");
}

Resolved resolve(Resolved resolved, const std::optional<WeightDecay>& decay, const std::optional<L1>& l1,
                 const Overrides& overrides) {
  for (const Group* by : overrides) {
    if (by->rule) resolved.rule = *by->rule;
    if (by->preconditioner) resolved.preconditioner = *by->preconditioner;
    if (by->schedule) resolved.group.schedules.insert_or_assign("lr", *by->schedule);
  }
  OptimizerGroup& group = resolved.group;
  group.base = resolved.rule.settings();
  const bool has_own = group.base.contains("weight_decay");
  group.decay_mode = has_own ? DecayMode::decoupled : DecayMode::coupled;
  const bool keeps_own = has_own && has_rule_with_decay(overrides);
  if (decay && decay->mode && !keeps_own) group.decay_mode = *decay->mode;
  if (l1) group.base.set("l1", l1->rate);
  if (!has_own || (decay && !keeps_own)) group.base.set("weight_decay", decay ? decay->rate : 0);
  if (resolved.preconditioner.name() != "none")
    for (const auto& [name, value] : resolved.preconditioner.hyper().settings()) group.base.set("hyper." + name, value);
  for (const Group* by : overrides) override_settings(group.base, *by);
  group.base.at("lr");
  for (const auto& [name, value] : group.base) check_setting(name, value);
  return resolved;
}

/// The FNV-1a hash of the names in order, each ended by a 0.
int64_t number_of(const std::set<std::string>& names) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const std::string& name : names)
    for (size_t i = 0; i <= name.size(); ++i)
      hash = (hash ^ static_cast<unsigned char>(name.c_str()[i])) * 0x100000001b3;
  return static_cast<int64_t>(hash);
}

/// The rule and the preconditioner of parameter number `index`.
OptimizerItem make_item(const Parameter& parameter, size_t index, const Resolved& options) {
  const Tensor& value = parameter.value();
  if (!value.defined())
    fail(ErrorKind::value, "optimizer", "parameter number ", index + 1, ", '", parameter.name(),
         "', is undefined: it has no tensor");
  if (value.dtype() != DType::float32 && value.dtype() != DType::float64)
    fail(ErrorKind::dtype, "optimizer", "parameter '", parameter.name(), "' is ", value.dtype(),
         ": train float32 or float64; Autocast computes in bfloat16 from float32 parameters");
  OptimizerItem item;
  item.parameter = parameter;
  item.rule_name = options.rule.name();
  item.rule = options.rule.make(value);
  item.curved = options.rule.curvature().has_value();
  item.preconditioner_name = options.preconditioner.name();
  const AnyRule& hyper = options.preconditioner.hyper();
  if (hyper.curvature())
    fail(ErrorKind::value, "optimizer", "hypergradients come without curvature, which the inner rule '", hyper.name(),
         "' needs");
  const Site site{parameter.info(), value, options.group.base.at("lr"), index};
  if (auto preconditioner = options.preconditioner.make(site))
    item.learner = std::make_unique<Learner>(std::move(preconditioner), options.preconditioner, value);
  return item;
}

/// That a preconditioner which was asked for takes a parameter.
void check_preconditioned(const std::vector<OptimizerItem>& items) {
  const auto asked =
      std::ranges::find_if(items, [](const OptimizerItem& i) { return i.preconditioner_name != "none"; });
  if (asked == items.end() || std::ranges::any_of(items, [](const OptimizerItem& i) { return i.learner != nullptr; }))
    return;
  fail(ErrorKind::value, "optimizer", "the preconditioner '", asked->preconditioner_name, "' takes none of the ",
       items.size(), " parameters, such as '", asked->parameter.name(), "' ", asked->parameter.shape(),
       ". Weights of your own say what they are by a ParamInfo: layer, role, out and in");
}

/// One sweep serves all who ask for curvature.
void ask(std::optional<CurvatureOptions>& all, const std::optional<CurvatureOptions>& more) {
  if (all && more && all->method != more->method)
    fail(ErrorKind::value, "optimizer", "curvature is estimated once per step, but one part asks for ",
         name(all->method), " and another for ", name(more->method));
  if (all && more && !(*all == *more))
    fail(ErrorKind::value, "optimizer", "curvature is estimated once per step, but two parts ask for ",
         name(all->method), " with different samples, key or other options: give all the same CurvatureOptions");
  if (more) all = more;
}

/// That no two parameters are the same numbers.
void check_apart(const std::vector<Parameter>& parameters) {
  std::map<std::pair<const void*, int64_t>, const Parameter*> seen;
  for (const Parameter& parameter : parameters) {
    const Tensor& value = parameter.value();
    if (value.numel() == 0) continue;
    const auto [before, is_new] = seen.try_emplace({value.storage().data(), value.offset()}, &parameter);
    if (is_new) continue;
    const Parameter& other = *before->second;
    if (other.node() == parameter.node())
      fail(ErrorKind::value, "optimizer", "'", other.name(), "' and '", parameter.name(),
           "' are one parameter, which would be stepped twice: give it once");
    fail(ErrorKind::value, "optimizer", "'", other.name(), "' and '", parameter.name(),
         "' are two parameters over the same memory, each with a part of the gradient. To tie weights, let both places "
         "use one parameter: linear(h, embedding.weight())");
  }
}

}  // namespace

Optimizer Builder::build() const {
  if (!rule_) fail(ErrorKind::value, "optimizer", "no rule was chosen; add .rule(optim::Sgd{.lr = 0.1}) or another");
  if (parameters_.empty())
    fail(ErrorKind::value, "optimizer",
         "there are no parameters to optimize. Those of a Module's members are found once the members are registered: "
         "fc_(child(\"fc\", Linear(2, 1)))");
  check_apart(parameters_);
  Resolved base{*rule_, preconditioner_, {}};
  for (const auto& [name, schedule] : schedules_) base.group.schedules.insert_or_assign(name, schedule);

  auto impl = std::make_unique<Optimizer::Impl>();
  impl->clip = clip_;
  impl->scaling = scaling_;
  if (scaling_) ask(impl->curvature, scaling_->curvature);
  impl->gradient_penalty = gradient_penalty_;
  std::vector<Overrides> combinations;  // of overrides that some parameter has: one group each
  std::vector<Resolved> resolved;
  std::set<std::string> names;
  for (const Parameter& parameter : parameters_) {
    const ParamInfo& info = parameter.info();
    if (!names.insert(info.name).second)
      fail(ErrorKind::value, "optimizer", "two parameters are called '", info.name,
           "'; state is kept by name, so make them parameters of one Module, or rename one: "
           "p.renamed(\"actor.weight\")");
    Overrides overrides;
    for (const auto& [where, group] : groups_)
      if (where(info)) overrides.push_back(&group);
    const auto found = std::find(combinations.begin(), combinations.end(), overrides);
    const auto index = static_cast<size_t>(found - combinations.begin());
    if (found == combinations.end()) {
      combinations.push_back(overrides);
      resolved.push_back(resolve(base, decay_, l1_, overrides));
      impl->groups.push_back(resolved.back().group);
    }

    const Resolved& options = resolved[index];
    OptimizerItem item = make_item(parameter, impl->items.size(), options);
    item.group = index;
    item.decays =
        !decay_ || decay_->where(info) || std::ranges::any_of(overrides, has_decay) || has_rule_with_decay(overrides);
    ask(impl->curvature, options.rule.curvature());
    if (scaling_) {
      item.curvature_average = zeros_like(parameter.value());
      item.averages_magnitudes = scaling_->magnitudes;
    }
    if (l1_ && (l1_->where(info) || std::ranges::any_of(overrides, has_l1))) {
      check_l1(item, *l1_, options.group.base);
      item.l1 = l1_->mode;
    }
    if (gradient_penalty_ && gradient_penalty_->intrinsic) check_intrinsic(item, options.group.base);
    if (item.rule->owns_step()) check_owned_step(item, options.group, scaling_.has_value());
    impl->items.push_back(std::move(item));
  }
  for (size_t i = 0; i < impl->groups.size(); ++i) {
    std::set<std::string> members;
    for (const OptimizerItem& item : impl->items)
      if (item.group == i) members.insert(item.parameter.name());
    impl->groups[i].members = number_of(members);
  }
  check_preconditioned(impl->items);
  for (OptimizerItem& item : impl->items)
    item.alone = std::ranges::count_if(impl->items, [&](const OptimizerItem& other) {
                   return other.parameter.value().storage() == item.parameter.value().storage();
                 }) == 1;
  if (bnp_ && impl->curvature)
    fail(ErrorKind::value, "bnp",
         "conditions gradients, but not the curvature that the rule or the step scaling takes");
  if (bnp_) add_bnp(impl->items, *bnp_);
  if (bnp_ && std::ranges::none_of(impl->items, [](const OptimizerItem& item) { return item.bnp != nullptr; }))
    fail(ErrorKind::value, "bnp",
         "there is nothing to condition: no dense or convolution layer with a bias is among the parameters");
  for (const auto& [name, schedule] : schedules_)
    if (std::none_of(impl->groups.begin(), impl->groups.end(),
                     [&name = name](const OptimizerGroup& group) { return group.base.contains(name); }))
      impl->groups.front().base.at(name);  // throws, naming what there is
  return Optimizer(std::move(impl));
}

}  // namespace gradus::optim
