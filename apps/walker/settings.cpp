#include "apps/walker/settings.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <type_traits>

#include "core/error.h"
#include "core/joined.h"
#include "core/json.h"
#include "core/shortened.h"

namespace gradus::walker {
namespace {

const std::string each_episode = "new in every episode";

// The settings that are one number or truth value each: the one list for writing and reading them.
template <class Settings, class See>
void visit_plain(Settings& s, See see) {
  see("time_limit", s.environment.time_limit);
  see("force", s.environment.force);
  see("jitter", s.environment.jitter);
  see("reference_angle", s.environment.reference_angle);
  see("tanh_mean", s.policy.tanh_mean);
  see("shared", s.policy.shared);
  see("normalize", s.policy.normalize);
  see("normalize_reward", s.ppo.normalize_reward);
  see("envs", s.ppo.envs);
  see("horizon", s.ppo.horizon);
  see("epochs", s.ppo.epochs);
  see("minibatch", s.ppo.minibatch);
  see("gamma", s.ppo.gamma);
  see("lambda", s.ppo.lambda);
  see("clip", s.ppo.clip);
  see("clip_value", s.ppo.clip_value);
  see("value_coefficient", s.ppo.value_coefficient);
  see("entropy_coefficient", s.ppo.entropy_coefficient);
  see("max_grad_norm", s.ppo.max_grad_norm);
  see("bootstrap_limit", s.ppo.bootstrap_limit);
  see("linear_decay", s.ppo.linear_decay);
  see("momentum", s.optimizer.momentum);
  double hyper_lr = s.optimizer.resolved_hyper_lr();
  see("hyper_lr", hyper_lr);
  if constexpr (!std::is_const_v<Settings>) s.optimizer.hyper_lr = hyper_lr;
  see("iterations", s.iterations);
  see("seed", s.seed);
}

Lidar parse_lidar(const std::string& text) {
  if (text == "v2") return Lidar::v2;
  if (text == "v3") return Lidar::v3;
  fail(ErrorKind::value, "walker", "the lidar is v2 or v3, not '", text, "'");
}

}  // namespace

std::optional<uint64_t> parse_seed(const std::string& text) {
  uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return seed;
}

std::vector<int64_t> parse_widths(const std::string& text) {
  constexpr int64_t widest = 16384;
  std::vector<int64_t> widths;
  for (const char *at = text.data(), *end = at + text.size(); at < end; ++at) {
    int64_t width = 0;
    const auto [next, error] = std::from_chars(at, end, width);
    if (error != std::errc() || width < 1 || width > widest || (next != end && (*next != ',' || next + 1 == end)))
      fail(ErrorKind::value, "walker", "'", text, "' is not a list of layer widths such as 40,40, each from 1 to ",
           widest);
    widths.push_back(width);
    at = next;
  }
  return widths;
}

void Settings::set_terrain(const std::string& name) {
  environment.terrain = parse_terrain(name);
  terrain = name;
  const bool stock = environment.terrain.kind == TerrainOptions::Kind::stock;
  environment.time_limit = stock ? 1600 : 2000;
  landscape.reset();
  if (environment.terrain.kind == TerrainOptions::Kind::poet) landscape = 1;
}

void Settings::check() const {
  const auto need = [](bool good, const char* what, auto value) {
    if (!good) fail(ErrorKind::value, "ppo", what, ", got ", value);
  };
  need(ppo.envs >= 1, "the number of environments must be at least 1", ppo.envs);
  need(ppo.horizon >= 1, "the horizon must be at least 1 step", ppo.horizon);
  need(ppo.epochs >= 1, "the number of epochs must be at least 1", ppo.epochs);
  need(ppo.envs <= most_steps_per_iteration / ppo.horizon,
       text("the steps of an iteration, envs times horizon, must be at most ", most_steps_per_iteration).c_str(),
       text(ppo.envs, " times ", ppo.horizon));
  need(ppo.minibatch >= 1 && steps_per_iteration() % ppo.minibatch == 0,
       "the minibatch must divide the steps of an iteration, envs times horizon", ppo.minibatch);
  need(ppo.gamma >= 0 && ppo.gamma <= 1, "gamma must lie in [0, 1]", ppo.gamma);
  need(ppo.lambda >= 0 && ppo.lambda <= 1, "lambda must lie in [0, 1]", ppo.lambda);
  need(ppo.clip > 0, "the clip range must be positive", ppo.clip);
  need(std::find(std::begin(optimizer_names), std::end(optimizer_names), optimizer.name) != std::end(optimizer_names),
       ("the optimizer must be one of " + joined(optimizer_names)).c_str(), "'" + optimizer.name + "'");
  need(optimizer.step_delta >= 0, "the bound of a step's curvature term must not be negative", optimizer.step_delta);
  need(iterations >= 0, "the number of iterations must not be negative", iterations);
  need(environment.time_limit >= 1, "the time limit must be at least 1 step", environment.time_limit);
  need(!policy.hidden.empty(), "there must be at least one hidden layer", "none");
}

apps::Record Settings::record() const {
  apps::Record record{{"task", "bipedal walker"},
                      {"terrain", terrain},
                      {"landscape", landscape ? std::to_string(*landscape) : each_episode},
                      {"lidar", environment.lidar == Lidar::v2 ? "v2" : "v3"},
                      {"hidden", joined(policy.hidden, std::identity(), ",")},
                      {"optimizer", optimizer.name},
                      {"lr", optimizer.resolved_lr()}};
  visit_plain(*this, [&](const char* name, auto value) { record.add(name, value); });
  // Younger than the first results: its arrival must not make finished trainings unknown.
  if (optimizer.step_delta > 0) record.add("step_delta", optimizer.step_delta);
  return record;
}

Settings Settings::parse(const std::string& json) {
  try {
    const Json fields = Json::parse(json);
    Settings settings;
    settings.set_terrain(fields.at("terrain").string());
    const std::string &landscape = fields.at("landscape").string(), &hidden = fields.at("hidden").string();
    settings.landscape.reset();
    if (landscape != each_episode && !(settings.landscape = parse_seed(landscape)))
      fail(ErrorKind::value, "walker", "the landscape '", landscape, "' is neither a whole number nor '", each_episode,
           "'");
    settings.environment.lidar = parse_lidar(fields.at("lidar").string());
    settings.policy.hidden = parse_widths(hidden);
    settings.optimizer.name = fields.at("optimizer").string();
    settings.optimizer.lr = fields.at("lr").number();
    visit_plain(settings, [&](const char* name, auto& value) { fields.at(name).get_to(value); });
    if (const Json* delta = fields.find("step_delta")) settings.optimizer.step_delta = delta->number();
    settings.check();
    return settings;
  } catch (const JsonError& error) {
    fail(ErrorKind::value, "walker", "these are no settings of a training: ", error.what());
  } catch (const Error& error) {  // which shows a text of the file
    throw Error(error.kind(), shortened(error.what(), 500));
  }
}

optim::Optimizer Settings::make_optimizer(const std::vector<Parameter>& parameters) const {
  const std::string& name = optimizer.name;
  const double lr = optimizer.resolved_lr();
  const optim::AnyRule hyper = optim::Adam{.lr = optimizer.resolved_hyper_lr()};
  const auto rule = [&]() -> optim::AnyRule {
    if (name == "adam" || name == "fop-adam") return optim::Adam{.lr = lr, .eps = 1e-5};
    if (name == "rmsprop") return optim::RmsProp{.lr = lr};
    return optim::Sgd{.lr = lr, .momentum = name == "sgd" ? 0 : optimizer.momentum};
  };
  optim::Builder builder = optim::over(parameters);
  builder.rule(rule()).clip({.norm = ppo.max_grad_norm});
  if (name == "fop" || name == "fop-adam") builder.precondition(optim::Fop{.hyper = hyper, .seed = seed});
  if (name == "fop-norm")
    builder.precondition(optim::Fop{.hyper = hyper, .norm = optim::Fop::Norm::through, .seed = seed});
  if (name == "s-hd") builder.precondition(optim::SHd{.hyper = hyper});
  if (name == "pp-hd") builder.precondition(optim::PpHd{.hyper = hyper});
  if (optimizer.step_delta > 0) builder.scale_steps({.delta = optimizer.step_delta});
  if (ppo.linear_decay)
    builder.schedule(optim::linear(iterations * ppo.epochs * (steps_per_iteration() / ppo.minibatch), 1, 0));
  return builder.build();
}

std::vector<optim::Optimizer> Settings::make_optimizers(const std::vector<Parameter>& parameters) const {
  std::vector<Parameter> of_policy, of_value;
  const bool apart = optimizer.step_delta > 0 && !policy.shared;
  for (const Parameter& parameter : parameters)
    (apart && parameter.name().starts_with("value") ? of_value : of_policy).push_back(parameter);
  std::vector<optim::Optimizer> optimizers;
  optimizers.push_back(make_optimizer(of_policy));
  if (apart) optimizers.push_back(make_optimizer(of_value));
  return optimizers;
}

void use_zoo_settings(Settings& settings) {
  settings.policy = {.hidden = {64, 64}, .tanh_mean = false, .shared = false, .normalize = true};
  settings.ppo = {.envs = 32,
                  .horizon = 2048,
                  .epochs = 10,
                  .minibatch = 64,
                  .gamma = 0.999,
                  .lambda = 0.95,
                  .clip = 0.18,
                  .clip_value = false,
                  .value_coefficient = 1,
                  .entropy_coefficient = 0,
                  .max_grad_norm = 0.5,
                  .normalize_reward = true,
                  .bootstrap_limit = true,
                  .linear_decay = false};
  settings.optimizer = {.name = "adam", .lr = 3e-4};
}

}  // namespace gradus::walker
