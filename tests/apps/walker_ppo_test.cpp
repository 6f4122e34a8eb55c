// PPO on the walker: its mathematics against plain loops, and that it learns, repeats itself and goes on.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "apps/walker/ppo_loss.h"
#include "apps/walker/training.h"
#include "autograd/curvature.h"
#include "core/error.h"
#include "core/parallel.h"
#include "layers/init.h"
#include "tests/data/temporary_folder.h"

namespace gradus::walker {
namespace {

Settings small(const std::string& optimizer = "adam") {
  Settings settings;
  settings.ppo.envs = 3;
  settings.ppo.horizon = 128;
  settings.ppo.epochs = 2;
  settings.optimizer.name = optimizer;
  settings.iterations = 4;
  return settings;
}

std::string text_of(const std::vector<apps::Record>& rows) {
  std::string text;
  for (const apps::Record& row : rows) text += row.json() + "\n";
  return text;
}

bool equal_states(const StateDict& a, const StateDict& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, tensor] : a) {
    const auto other = b.find(name);
    if (other == b.end() || other->second.shape() != tensor.shape()) return false;
    if (tensor.dtype() == DType::float32 && tensor.to_vector<float>() != other->second.to_vector<float>()) return false;
    if (tensor.dtype() == DType::float64 && tensor.to_vector<double>() != other->second.to_vector<double>())
      return false;
    if (tensor.dtype() == DType::int64 && tensor.to_vector<int64_t>() != other->second.to_vector<int64_t>())
      return false;
  }
  return true;
}

}  // namespace

TEST_CASE("the paper's network has 2,849 parameters, and starts with small means, a value, and deviation 1") {
  manual_seed(3);
  Policy policy({});
  CHECK(policy.parameter_count() == 2849);
  Generator random(1);
  const Policy::Output out = policy.evaluate(random_normal({50, 24}, 0, 1, random.fork()));
  CHECK(out.mean.shape() == Shape{50, 4});
  CHECK(out.value.shape() == Shape{50});
  for (float mean : out.mean.value().to_vector<float>()) CHECK(std::abs(mean) < 0.2f);
  CHECK(norm(out.value.value()) > 1);
  for (float log_std : policy.log_std().value().to_vector<float>()) CHECK(log_std == 0);
  // Orthogonal with gain sqrt 2: 40 columns of length sqrt 2 in the hidden layer.
  const Tensor weight = policy.state().at("fc2.weight"), gram = matmul(transpose(weight, 0, 1), weight);
  CHECK(norm(gram - 2.0 * Tensor::eye(40)) < 1e-4);
  Policy copy({.hidden = {64, 64}, .tanh_mean = false, .shared = false});
  CHECK(copy.parameter_count() == 2 * (24 * 64 + 64 + 64 * 64 + 64) + 64 * 4 + 4 + 64 + 1 + 4);
}

TEST_CASE("observations are normalized by the moments so far, and limited to +-10") {
  Policy policy({.normalize = true});
  Observation seen{};
  for (float value : {1.0f, 2.0f, 3.0f, 6.0f}) {  // mean 3, variance 3.5
    seen.fill(value);
    policy.observed.add(seen);
  }
  CHECK(policy.observed.mean(7) == doctest::Approx(3));
  CHECK(policy.observed.variance(7) == doctest::Approx(3.5));
  seen.fill(5);
  CHECK(policy.normalized(seen)[7] == doctest::Approx(2 / std::sqrt(3.5)));
  seen.fill(1000);
  CHECK(policy.normalized(seen)[7] == 10);
  Moments other(observation_size);
  other.load(policy.observed.state());
  CHECK(other.variance(3) == policy.observed.variance(3));
  CHECK(contains(error_of([&] { Moments(2).load(policy.observed.state()); }), "expected 5 numbers, but there are 49"));
}

// By hand, with gamma 0.5 and lambda 0.5: delta_2 = 3 + 0.5 * 4 - 1 = 4; delta_1 = 2 - 2 = 0, an end;
// delta_0 = 1 + 0.5 * 2 - 3 = -1, so A_0 = -1 + 0.25 * 0.
TEST_CASE("generalized advantages match a hand computation, and nothing counts beyond the end of an episode") {
  const Reward steps[] = {{1, 3, false}, {2, 2, true}, {3, 1, false}};
  CHECK(advantages(steps, 4, 0.5, 0.5) == std::vector<double>{-1, 0, 4});
  const Reward together[] = {{1, 3, false}, {2, 2, false}, {3, 1, false}};  // A_1 = 0.5 + 0.25 * 4, A_0 = -1 + 0.25 A_1
  CHECK(advantages(together, 4, 0.5, 0.5) == std::vector<double>{-0.625, 1.5, 4});
}

TEST_CASE("the losses match plain loops, with ratios and values within and beyond their clip range") {
  manual_seed(5);
  Policy policy({});
  Generator random(2);
  constexpr int64_t n = 40;
  const auto draw = [&](const Shape& shape, double std) { return random_normal(shape, 0, std, random.fork()); };
  const Minibatch batch{draw({n, 24}, 1), draw({n, 4}, 1), draw({n}, 0.3) - 5.0,
                        draw({n}, 1),     draw({n}, 1),    draw({n}, 1)};
  for (bool clip_value : {true, false}) {
    const PpoOptions options{
        .clip = 0.2, .clip_value = clip_value, .value_coefficient = 0.7, .entropy_coefficient = 0.1};
    const Losses losses = ppo_losses(policy, batch, options);
    const Policy::Output now = policy.evaluate(batch.seen);
    const auto mean = now.mean.value().to_vector<float>(), value = now.value.value().to_vector<float>(),
               action = batch.actions.to_vector<float>(), before = batch.log_probability.to_vector<float>(),
               advantage = batch.advantage.to_vector<float>(), old = batch.value.to_vector<float>(),
               target = batch.target.to_vector<float>();
    double policy_sum = 0, value_sum = 0;
    int beyond = 0, far = 0;
    for (size_t i = 0; i < n; ++i) {
      double log_probability = 0;  // of a Gaussian with deviation 1
      for (size_t k = 0; k < 4; ++k)
        log_probability += -0.5 * std::pow(action[4 * i + k] - mean[4 * i + k], 2) - 0.918938533204673;
      const double ratio = std::exp(log_probability - before[i]), cut = std::min(std::max(ratio, 0.8), 1.2);
      beyond += ratio != cut;
      policy_sum -= std::min(ratio * advantage[i], cut * advantage[i]);
      const double step = value[i] - old[i], near = old[i] + std::min(std::max(step, -0.2), 0.2);
      far += std::abs(step) > 0.2;
      const double plain = std::pow(value[i] - target[i], 2);
      value_sum += 0.5 * (clip_value ? std::max(plain, std::pow(near - target[i], 2)) : plain);
    }
    CHECK((beyond > 5 && beyond < n && far > 5 && far < n));
    CHECK(losses.policy.item() == doctest::Approx(policy_sum / n).epsilon(1e-5));
    CHECK(losses.value.item() == doctest::Approx(value_sum / n).epsilon(1e-5));
    CHECK(losses.total.item() == doctest::Approx((policy_sum + 0.7 * value_sum) / n).epsilon(1e-5));  // log_std is 0
    policy.log_std().clear_grad();
    losses.total.backward();
    const auto with = policy.log_std().grad().to_vector<float>();
    PpoOptions without = options;
    without.entropy_coefficient = 0;
    policy.log_std().clear_grad();
    ppo_losses(policy, batch, without).total.backward();
    for (size_t k = 0; k < 4; ++k)
      CHECK(with[k] == doctest::Approx(policy.log_std().grad().to_vector<float>()[k] - 0.1).epsilon(1e-4));
  }
  std::vector<float> values{1, 2, 3, 6};
  normalize(values);
  CHECK(values[3] == doctest::Approx(3 / std::sqrt(3.5)));
}

TEST_CASE("the first update of an iteration meets the policy that walked: its ratios are 1") {
  Settings settings = small();
  settings.ppo.epochs = 1;
  settings.ppo.minibatch = 3 * 128;
  Ppo ppo(settings);
  const Iteration made = ppo.iterate();
  CHECK(std::abs(made.kl) < 1e-6);
  CHECK(made.clipped == 0);
  CHECK(std::abs(made.policy_loss) < 1e-5);  // the mean of normalized advantages
  CHECK(made.entropy == doctest::Approx(4 * 1.4189385).epsilon(1e-2));
  CHECK(ppo.iterate().kl == doctest::Approx(0).epsilon(1e-6));
}

TEST_CASE("results do not depend on the number of threads") {
  const int before = num_threads();
  std::string rows[2];
  for (int threads : {1, 2}) {
    set_num_threads(threads);
    Training training({.settings = small("fop"), .evaluate_every = 2, .episodes = 3});
    while (!training.finished()) training.iterate();
    rows[threads - 1] = text_of(training.rows());
  }
  set_num_threads(before);
  CHECK(rows[0] == rows[1]);
  CHECK(std::count(rows[0].begin(), rows[0].end(), '\n') == 4);
}

TEST_CASE("a training that was saved and loaded in the middle ends with the bytes of one that was not") {
  const TemporaryFolder folder;
  for (const std::string optimizer : {"fop", "adam", "momentum", "fop-adam", "adam, scaled", "adam, scaled apart"}) {
    CAPTURE(optimizer);
    Plan plan{.settings = small(optimizer.substr(0, optimizer.find(','))), .evaluate_every = 3, .episodes = 2};
    if (contains(optimizer, "scaled")) plan.settings.optimizer.step_delta = 1e-8;
    plan.settings.policy.shared = !contains(optimizer, "apart");
    plan.settings.policy.normalize = plan.settings.ppo.normalize_reward = plan.settings.ppo.bootstrap_limit = true;
    plan.settings.environment.time_limit = 100;
    Training whole(plan), first(plan), second(plan);
    while (!whole.finished()) whole.iterate();
    first.iterate();
    first.iterate();
    apps::write_checkpoint(folder / "state", first.checkpoint());
    second.load(apps::load_checkpoint(folder / "state"));
    while (!second.finished()) second.iterate();
    CHECK(text_of(whole.rows()) == text_of(second.rows()));
    CHECK(whole.best() == second.best());
    CHECK(equal_states(whole.checkpoint().tensors, second.checkpoint().tensors));
    CHECK(!equal_states(whole.checkpoint().tensors, apps::load_checkpoint(folder / "state").tensors));
  }
}

TEST_CASE(
    "the rows of a checkpoint are a tensor, whose size nothing limits; where they are metadata they are read too") {
  const Plan plan{.settings = small(), .episodes = 1};
  Training training(plan);
  training.iterate();
  apps::Checkpoint checkpoint = training.checkpoint();
  CHECK(!checkpoint.metadata.contains("rows"));
  const std::vector<uint8_t> bytes = checkpoint.tensors.at("rows").to_vector<uint8_t>();
  checkpoint.metadata["rows"] = std::string(bytes.begin(), bytes.end());
  checkpoint.tensors.erase("rows");
  Training other(plan);
  other.load(checkpoint);
  REQUIRE(other.rows().size() == 1);
  CHECK(other.rows()[0].json() == training.rows()[0].json());
  checkpoint.metadata.erase("rows");
  CHECK(contains(error_of([&] { Training(plan).load(checkpoint); }), "does not say 'rows'"));
}

TEST_CASE("a checkpoint of another plan, or another file, is refused; more iterations are not another plan") {
  const TemporaryFolder folder;
  Plan plan{.settings = small(), .episodes = 1};
  Training training(plan);
  training.iterate();
  apps::Checkpoint checkpoint = training.checkpoint();
  checkpoint.path = "the/path";
  const auto refusal = [&](const Plan& other) { return error_of([&] { Training(other).load(checkpoint); }); };
  Plan other = plan;
  other.settings.ppo.gamma = 0.9;
  CHECK(contains(refusal(other),
                 "the/path belongs to a training with gamma 0.99, not 0.9: name another folder, or remove this one"));
  other = plan;
  other.settings.optimizer.step_delta = 1e-8;
  CHECK(contains(refusal(other), "belongs to a training with step_delta null, not 1e-08"));
  checkpoint.metadata["settings"] = other.record().json();
  CHECK(contains(refusal(plan), "belongs to a training with step_delta 1e-08, not null"));
  checkpoint.metadata["settings"] = plan.record().json();
  other = plan;
  other.settings.iterations = 5;
  CHECK_NOTHROW(Training(other).load(checkpoint));
  const auto with = [&](const std::string& name, const Tensor& tensor) {
    apps::Checkpoint damaged = checkpoint;
    damaged.tensors.at(name) = tensor;
    const std::string message = error_of([&] { Training(plan).load(damaged); });
    CHECK(contains(message, "the/path: "));
    return message;
  };
  CHECK(contains(with("iterations", Tensor::from<int64_t>({-1}, {1})), "iterations are no count"));
  with("iterations", Tensor::from<double>({NAN}, {1}));
  CHECK(contains(with("recent", Tensor::from<double>({1, NAN}, {1, 2})), "an episode of nan steps"));
  with("best_observed", Tensor::zeros({1}, DType::float64));
  CHECK(contains(with("walker.0/actions", Tensor::full({9, 4}, NAN)), "an action is not finite"));
  apps::Checkpoint lacking = checkpoint;
  lacking.tensors.erase("best_observed");
  CHECK(contains(error_of([&] { Training(plan).load(lacking); }), "the/path: [walker] there is no best_observed"));
  lacking = checkpoint;
  lacking.metadata["settings"] = "{";
  CHECK(contains(error_of([&] { Training(plan).load(lacking); }), "the/path: its settings are damaged"));
  const Tensor damaged_rows = Tensor::from<uint8_t>({'[', '1'}, {2});
  with("rows", damaged_rows);
  save_policy(folder / "policy", training.best_policy(), plan.settings);
  checkpoint.metadata = safetensors::load(folder / "policy").metadata;
  CHECK(contains(refusal(plan), "the/path is no checkpoint of walker_train"));
  safetensors::save(folder / "weights", {{"x", Tensor::zeros({1})}});
  CHECK(contains(error_of([&] { load_policy(folder / "weights"); }), "weights holds no policy of walker_train"));
}

TEST_CASE("a saved policy acts as the one it was, with the settings it was trained with") {
  const TemporaryFolder folder;
  Settings settings = small();
  settings.set_terrain("rough-obstacles");
  settings.policy.normalize = true;
  settings.optimizer.lr = 1.5e-3;
  settings.optimizer.step_delta = 1e-7;
  Ppo ppo(settings);
  ppo.iterate();
  save_policy(folder / "policy", ppo.policy(), settings, {{"evaluation", "12"}});
  const SavedPolicy saved = load_policy(folder / "policy");
  CHECK(saved.metadata.at("evaluation") == "12");
  CHECK(saved.settings.record().json() == settings.record().json());
  CHECK(saved.settings.landscape == settings.landscape);
  Observation seen;
  for (size_t i = 0; i < seen.size(); ++i) seen[i] = 0.1f * static_cast<float>(i);
  CHECK(saved.policy->act(seen) == ppo.policy().act(seen));

  safetensors::Content content = safetensors::load(folder / "policy");
  settings.policy.hidden = {16384, 16384};  // a gigabyte
  content.metadata["settings"] = settings.record().json();
  safetensors::save(folder / "policy", content.tensors, content.metadata);
  CHECK(contains(error_of([&] { load_policy(folder / "policy"); }),
                 "the settings name a layer of 16384 units, whose weights are not there"));
  std::string odd = settings.record().json();
  odd.replace(odd.find("rough-obstacles"), 5, "ro\\ngh");
  CHECK(contains(error_of([&] { Settings::parse(odd); }), "'ro?gh-obstacles' is none of"));
}

// A head is the last layer: HesScale must give what differentiating twice gives. Elsewhere it is an estimate.
TEST_CASE("the curvature by which steps are scaled is exact for the weights of both heads") {
  manual_seed(6);
  Policy policy({.tanh_mean = false, .shared = false});
  Generator random(4);
  constexpr int64_t n = 32;
  const auto draw = [&](const Shape& shape, double std) { return random_normal(shape, 0, std, random.fork()); };
  const Minibatch batch{draw({n, 24}, 1), draw({n, 4}, 1), draw({n}, 0.3) - 5.0,
                        draw({n}, 1),     draw({n}, 1),    draw({n}, 1)};
  std::vector<Var> heads;
  for (const Parameter& parameter : policy.parameters())
    if (parameter.name().starts_with("mean.") || parameter.name().starts_with("value.")) heads.push_back(parameter);
  REQUIRE(heads.size() == 4);
  for (bool clip_value : {true, false}) {
    const PpoOptions options{.clip_value = clip_value};
    const std::vector<Tensor> estimate = curvature(ppo_losses(policy, batch, options).total, heads),
                              exact = exact_curvature(ppo_losses(policy, batch, options).total, heads);
    for (size_t i = 0; i < heads.size(); ++i) {
      CHECK(norm(exact[i]) > 0.01);
      CHECK(norm(estimate[i] - exact[i]) < 1e-5 * norm(exact[i]));  // float32 sums of 32 products
    }
  }
}

TEST_CASE("scaled steps are the policy's and the value's apart where their networks are, and shorter by the bound") {
  Settings settings = small();
  settings.optimizer.step_delta = 1e-8;
  const auto optimizers = [&](bool shared) {
    settings.policy.shared = shared;
    Policy policy(settings.policy);
    std::vector<std::vector<std::string>> members;
    for (const optim::Optimizer& optimizer : settings.make_optimizers(policy.parameters()))
      members.push_back(optimizer.members(0));
    return members;
  };
  CHECK(optimizers(true).size() == 1);
  const auto apart = optimizers(false);
  REQUIRE(apart.size() == 2);
  CHECK(apart[0].size() == 7);  // two layers, the means, log_std
  CHECK(apart[1].size() == 6);
  for (const std::string& name : apart[1]) CHECK(name.starts_with("value"));

  const auto scale = [&](double delta) {
    settings.optimizer.step_delta = delta;
    return Ppo(settings).iterate();
  };
  const Iteration free = scale(1e3), bound = scale(1e-8), tight = scale(1e-12);
  CHECK(free.step_scale == 1);
  CHECK(*bound.step_scale < 1);
  CHECK(*tight.step_scale < *bound.step_scale);
  CHECK(tight.kl < free.kl / 10);  // steps a hundredth as long as 1e-8 allows leave the policy as it was
  CHECK(!scale(0).step_scale);
}

TEST_CASE("PPO learns: in six iterations the values come to explain the returns, while the policy moves") {
  for (const char* optimizer : {"adam", "fop"}) {
    CAPTURE(std::string(optimizer));
    Settings settings;
    use_zoo_settings(settings);
    settings.ppo.envs = 8;
    settings.ppo.horizon = 256;
    settings.optimizer.name = optimizer;
    Ppo ppo(settings);
    const Iteration first = ppo.iterate();
    Iteration last;
    for (int i = 0; i < 5; ++i) last = ppo.iterate();
    CHECK(first.explained_variance < 0.1);
    CHECK(last.explained_variance > 0.4);
    CHECK(last.value_loss < first.value_loss / 20);
    CHECK(last.kl > 1e-4);
    CHECK(last.episode_return > -130);
    CHECK(last.environment_steps == 6 * 2048);
  }
}

TEST_CASE("settings without sense are refused, each with its value") {
  const auto refused = [](auto change, const char* part) {
    Settings settings;
    change(settings);
    const std::string text = error_of([&] { const Ppo ppo(settings); });
    CAPTURE(text);
    CHECK(contains(text, part));
  };
  refused([](Settings& s) { s.ppo.minibatch = 1000; },
          "must divide the steps of an iteration, envs times horizon, got 1000");
  refused([](Settings& s) { s.ppo.envs = 0; }, "number of environments must be at least 1, got 0");
  refused([](Settings& s) { s.ppo.horizon = 0; }, "horizon must be at least 1 step, got 0");
  refused([](Settings& s) { s.ppo.epochs = 0; }, "number of epochs must be at least 1, got 0");
  refused([](Settings& s) { s.ppo.gamma = 1.5; }, "gamma must lie in [0, 1], got 1.5");
  refused([](Settings& s) { s.ppo.lambda = -1; }, "lambda must lie in [0, 1], got -1");
  refused([](Settings& s) { s.ppo.clip = 0; }, "clip range must be positive, got 0");
  refused([](Settings& s) { s.optimizer.step_delta = -1; }, "curvature term must not be negative, got -1");
  refused([](Settings& s) { s.policy.hidden.clear(); }, "at least one hidden layer");
  refused([](Settings& s) { s.optimizer.name = "magic"; }, "the optimizer must be one of fop, momentum");
  CHECK(parse_widths("40,40") == std::vector<int64_t>{40, 40});
  for (const char* text : {"40,", "x", "40,0"})
    CHECK(contains(error_of([&] { parse_widths(text); }), "is not a list of layer widths"));
  CHECK(contains(error_of([] { Settings::parse("{}"); }), "these are no settings of a training"));
  Settings wild = small();
  wild.optimizer = {.name = "sgd", .lr = 1e30};
  wild.ppo.max_grad_norm = 0;
  CHECK(contains(error_of([&] {
                   Ppo ppo(wild);
                   for (int i = 0; i < 4; ++i) ppo.iterate();
                 }),
                 "not finite"));
}

}  // namespace gradus::walker
