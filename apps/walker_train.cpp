// Teaches the bipedal walker to walk, with PPO and FOP or another optimizer: the FOP paper's Figure 4.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "apps/common/checkpoint.h"
#include "apps/common/command_line.h"
#include "apps/common/interrupt.h"
#include "apps/common/progress.h"
#include "apps/common/resume.h"
#include "apps/common/run_directory.h"
#include "apps/common/statistics.h"
#include "apps/walker/training.h"
#include "core/error.h"
#include "core/file.h"

using namespace gradus;
using namespace gradus::walker;

namespace {

constexpr const char* program = "walker_train";
constexpr const char* examples = R"(Examples:
  walker_train --steps 1000000 --out runs/walk
      the paper's network and PPO with FOP on stock terrain; stopped at any moment, the same command goes on
  walker_train --preset zoo --seeds 0 1 2 --out runs/zoo
      5 million steps with the settings of RL Baselines3 Zoo, with Adam, for three seeds
  walker_train --terrain poet:roughness=1,stump=0-0.4 --optimizer adam --steps 2000000 --out runs/stumps
      hills and stumps; then: walker_watch runs/stumps/seed-0/best.safetensors --out walk.gif)";

constexpr int64_t final_episodes = 100;
constexpr double seconds_between_checkpoints = 20;
constexpr int64_t most_steps = Settings::most_steps_per_iteration;

struct Flags {
  std::string terrain = "stock", landscape, lidar = "v3", preset = "paper", out, hidden;
  std::optional<int64_t> time_limit, envs, horizon, epochs, minibatch;
  std::optional<double> force, jitter, gamma, lambda, clip, max_grad_norm, lr, hyper_lr;
  std::optional<std::string> optimizer;
  double momentum = 0.9, step_delta = 0;
  int64_t steps = 0, threads = 0, evaluate_every = 10, episodes = 10;
  std::vector<uint64_t> seeds{0};
  bool linear_decay = false, json = false;

  void add_to(apps::CommandLine& line) {
    line.group("Task");
    line.add("--terrain", terrain,
             "stock, hardcore: Gym's. rough: POET's hills, always the same; rough-obstacles: with pits and\n"
             "stumps; poet: and a list of roughness=R, gap=A-B, stump=A-B, stair=A-B, steps=A-B");
    line.add("--landscape", landscape,
             "seed of the one terrain of all episodes, or each: a new one in every episode [each; 1 for rough\n"
             "and poet]");
    line.add("--lidar", lidar, "v2: rays end at whatever is visited first; v3: at the nearest",
             apps::one_of({"v2", "v3"}));
    line.add("--time-limit", time_limit, "steps of an episode [1600; 2000 unless stock]", apps::at_least(1));
    line.add("--force", force, "newtons: the push at the start is uniform within +- this [5]", apps::between(0, 1000));
    line.add("--jitter", jitter, "terrain steps: the place of the start is uniform within +- this [0]",
             apps::between(0, 5));

    line.group("PPO");
    line.add("--preset", preset,
             "what the following flags start from. paper: the FOP paper and OpenAI Baselines; zoo: RL\n"
             "Baselines3 Zoo for BipedalWalker-v3, with 64-64 networks, normalization and Adam",
             apps::one_of({"paper", "zoo"}));
    line.add("--hidden", hidden, "widths of the hidden layers [40,40]");
    line.add("--envs", envs, "environments side by side [4]", apps::between(1, 16384));
    line.add("--horizon", horizon, "steps of each in an iteration [512]", apps::between(1, most_steps));
    line.add("--epochs", epochs, "passes over them [10]", apps::between(1, 10000));
    line.add("--minibatch", minibatch, "steps of an update [32]", apps::between(1, most_steps));
    line.add("--gamma", gamma, "discount [0.99]");
    line.add("--lambda", lambda, "of generalized advantage estimation [0.95]");
    line.add("--clip", clip, "range of the probability ratio [0.2]", apps::above(0));
    line.add("--max-grad-norm", max_grad_norm, "before preconditioning; 0: no limit [0.5]", apps::at_least(0));

    line.group("Optimizer");
    line.add("--optimizer", optimizer,
             "momentum, adam, sgd, rmsprop; fop, fop-norm, s-hd, pp-hd: with momentum; fop-adam [fop]",
             apps::one_of(std::vector<std::string>(std::begin(optimizer_names), std::end(optimizer_names))));
    line.add("--lr", lr, "learning rate [3e-4; sgd and momentum 3.5e-4]", apps::at_least(0));
    line.add("--linear-decay", linear_decay, "of the learning rate, to 0 at the end");
    line.add("--momentum", momentum, "of the rules with momentum", apps::within(0, 1));
    line.add("--hyper-lr", hyper_lr, "Adam's rate that learns the preconditioner [FOP 1e-6, others 1e-4]",
             apps::at_least(0));

    line.add("--step-delta", step_delta,
             "shortens updates until the loss's curvature term along them is at most this, for the policy and a\n"
             "value network of its own apart; the authors use 1e-8; 0: never",
             apps::at_least(0));

    line.group("Training");
    line.add("--steps", steps, "of the environments; rounded up to whole iterations; 0: 1000000, zoo 5000000",
             apps::between(0, 1000000000000));
    line.add("--seeds", seeds, "one training each [0]");
    line.add("--evaluate-every", evaluate_every, "iterations", apps::at_least(1));
    line.add("--episodes", episodes, "of an evaluation, without exploration", apps::at_least(1));
    line.add("--threads", threads, "results do not depend on them; 0: all cores", apps::thread_count());
    line.group("Results");
    line.add("--out", out, "folder for the results, in a folder seed-N each; nothing is saved without it");
    line.add("--json", json, "print one JSON object per iteration and a last one with \"final\": true");
  }

  Plan plan(uint64_t seed) const {
    return apps::from_flags([&] { return read_plan(seed); });
  }

  Plan read_plan(uint64_t seed) const {
    Plan plan{.evaluate_every = evaluate_every, .episodes = episodes};
    Settings& s = plan.settings;
    if (preset == "zoo") use_zoo_settings(s);
    s.set_terrain(terrain);
    if (landscape == "each")
      s.landscape.reset();
    else if (!landscape.empty() && !(s.landscape = parse_seed(landscape)))
      throw apps::UsageError("--landscape takes a whole number below 2^64 or 'each', not '" + landscape + "'");
    s.environment.lidar = lidar == "v2" ? Lidar::v2 : Lidar::v3;
    if (!hidden.empty()) s.policy.hidden = parse_widths(hidden);
    const auto set = [](auto& to, const auto& given) {
      if (given) to = *given;
    };
    set(s.environment.time_limit, time_limit);
    set(s.environment.force, force);
    set(s.environment.jitter, jitter);
    set(s.ppo.envs, envs);
    set(s.ppo.horizon, horizon);
    set(s.ppo.epochs, epochs);
    set(s.ppo.minibatch, minibatch);
    set(s.ppo.gamma, gamma);
    set(s.ppo.lambda, lambda);
    set(s.ppo.clip, clip);
    set(s.ppo.max_grad_norm, max_grad_norm);
    if (optimizer) s.optimizer = {.name = *optimizer};
    if (lr) s.optimizer.lr = lr;
    s.optimizer.momentum = momentum;
    s.optimizer.hyper_lr = hyper_lr;
    s.optimizer.step_delta = step_delta;
    s.ppo.linear_decay = linear_decay;
    const int64_t wanted = steps > 0 ? steps : preset == "zoo" ? 5000000 : 1000000, per = s.steps_per_iteration();
    s.iterations = (wanted - 1) / per + 1;
    s.seed = seed;
    s.check();
    return plan;
  }

  /// Those that were given in vain, a line each.
  std::vector<std::string> without_effect(const apps::CommandLine& line) const {
    std::vector<std::string> notes;
    const std::string name = plan(seeds.front()).settings.optimizer.name;
    const auto needs = [&](const char* flag, bool effect) {
      if (line.given(flag) && !effect) notes.push_back(std::string(flag) + " has no effect with --optimizer " + name);
    };
    const bool learned = name.starts_with("fop") || name.ends_with("-hd");
    needs("--momentum", name == "momentum" || (learned && name != "fop-adam"));
    needs("--hyper-lr", learned);
    if (const std::string remark = terrain_remark(terrain); !remark.empty()) notes.push_back(remark);
    return notes;
  }

  void check_seeds() const {
    for (auto seed = seeds.begin(); seed != seeds.end(); ++seed)
      if (std::find(seeds.begin(), seed, *seed) != seed)
        throw apps::UsageError("--seeds names " + std::to_string(*seed) + " twice, which is the same training");
  }
};

std::string text_of(double value, int decimals = 1) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return std::isnan(value) ? "-" : text;
}

// The training of one seed.
class Session {
 public:
  Session(const Flags& flags, uint64_t seed) : flags_(flags), training_(flags.plan(seed)) {
    if (flags.out.empty()) return;
    folder_.emplace(flags.out + "/seed-" + std::to_string(seed));
    folder_->lock();
    apps::check_program(*folder_, program);
    const auto checkpoint = apps::newest_checkpoint(folder_->path(), apps::note);
    if (!checkpoint) return;
    training_.load(*checkpoint);
    apps::note(training_.finished() ? checkpoint->path + " is finished" : "goes on from " + checkpoint->path);
  }

  /// Mean return of the best policy; nothing where it was interrupted, which it says.
  std::optional<double> run() {
    const Settings& settings = training_.plan().settings;
    apps::Record config = {{"program", program}};
    config.add(training_.plan().record());
    if (folder_) {
      folder_->save_config(config);
      if (!training_.finished()) folder_->remove("result.json");  // which is of the shorter training
    }
    const int64_t first = training_.iterations();
    while (!training_.finished()) {
      if (apps::interrupted()) return stop("");
      const apps::Record& row = training_.iterate();
      const int64_t iteration = training_.iterations();
      const double rate = static_cast<double>((iteration - first) * settings.steps_per_iteration()) /
                          (watch_.seconds() - training_.evaluation_seconds());
      if (since_saved_.seconds() > seconds_between_checkpoints) save_meanwhile();
      try {
        report(row, rate);
      } catch (const apps::OutputError& error) {
        if (!training_.finished()) return stop(std::string(error.what()) + "; ");
      }  // the result comes below
      progress_.show("iteration " + std::to_string(iteration) + "/" + std::to_string(settings.iterations) +
                         "  return " + text_of(row.number("episode_return")) + "  best " + text_of(training_.best()) +
                         "  " + text_of(rate, 0) + " steps/s",
                     static_cast<double>(iteration) / static_cast<double>(settings.iterations));
    }
    return finish(save());
  }

 private:
  void report(const apps::Record& row, double rate) {
    if (flags_.json) {
      apps::Record with_rate = row;
      with_rate.add("steps_per_s", rate);
      apps::print_line(with_rate.json());
      return;
    }
    const double evaluation = row.number("evaluation");
    if (std::isnan(evaluation)) return;
    progress_.clear();
    const Settings& settings = training_.plan().settings;
    apps::print_line("seed " + std::to_string(settings.seed) + "  iteration " + std::to_string(training_.iterations()) +
                     "/" + std::to_string(settings.iterations) + "  " +
                     std::to_string(training_.iterations() * settings.steps_per_iteration()) + " steps  return " +
                     text_of(row.number("episode_return")) + "  without exploration " + text_of(evaluation) +
                     "  best " + text_of(training_.best()) + "  " + text_of(rate, 0) + " steps/s");
  }

  std::optional<double> stop(const std::string& why) {
    progress_.clear();
    const std::string lost = save();
    if (!lost.empty()) apps::note("not all could be saved: " + lost);
    apps::note(why + (folder_ ? "interrupted; the same command goes on from here"
                              : "interrupted; without --out nothing is saved"));
    return std::nullopt;
  }

  // The checkpoint last: where it is new, everything is. Each also where another does not fit on the disk; returns what
  // went wrong.
  std::string save() {
    since_saved_ = apps::Stopwatch();
    if (!folder_) return "";
    std::string csv, lines, lost;
    for (const apps::Record& row : training_.rows()) {
      if (csv.empty()) csv = row.csv_names() + "\n";
      csv += row.csv_values() + "\n";
      lines += row.json() + "\n";
    }
    const auto attempt = [&](const auto& write) { apps::try_to_save(write, lost); };
    attempt([&] { write_file_atomically(folder_->file("metrics.csv"), csv); });
    attempt([&] { write_file_atomically(folder_->file("metrics.jsonl"), lines); });
    if (training_.best_iteration() > 0) attempt([&] { save_best(); });
    attempt([&] { apps::save_checkpoint(folder_->path(), training_.iterations(), training_.checkpoint()); });
    return lost;
  }

  void save_best() const {
    save_policy(
        folder_->file("best.safetensors"), training_.best_policy(), training_.plan().settings,
        {{"evaluation", apps::exact(training_.best())}, {"iteration", std::to_string(training_.best_iteration())}});
  }

  void save_meanwhile() {
    const std::string lost = save();
    if (lost.empty()) return;
    progress_.clear();
    apps::note(
        text("not all could be saved after iteration ", training_.iterations(), ", the training goes on: ", lost));
  }

  /// `lost` says what could not be saved.
  double finish(std::string lost) {
    const std::vector<double> returns = training_.play_best(final_episodes);
    const double mean = apps::mean(returns), deviation = apps::standard_deviation(returns);
    const apps::Record result{{"final", true},
                              {"seed", training_.plan().settings.seed},
                              {"best_iteration", training_.best_iteration()},
                              {"return", mean},
                              {"deviation", deviation},
                              {"episodes", final_episodes}};
    progress_.clear();
    if (folder_)
      apps::try_to_save([&] { write_file_atomically(folder_->file("result.json"), result.json_lines() + "\n"); }, lost);
    apps::print_line(flags_.json
                         ? result.json()
                         : "seed " + std::to_string(training_.plan().settings.seed) + ": the policy of iteration " +
                               std::to_string(training_.best_iteration()) + " scores " + text_of(mean) + " +- " +
                               text_of(deviation) + " in " + std::to_string(final_episodes) + " new episodes");
    if (!lost.empty()) fail(ErrorKind::io, "training", "not all could be saved: ", lost);
    if (folder_ && !flags_.json) apps::print_line("saved in " + folder_->path());
    return mean;
  }

  const Flags& flags_;
  Training training_;
  std::optional<apps::RunDirectory> folder_;
  apps::Progress progress_;
  apps::Stopwatch watch_, since_saved_;
};

int train(const Flags& flags) {
  apps::use_threads(flags.threads);
  const apps::DeferInterrupts deferred;
  std::vector<double> scores;
  for (uint64_t seed : flags.seeds) {
    const std::optional<double> score = Session(flags, seed).run();
    if (!score) return apps::interrupted() ? apps::exit_interrupted : 1;
    scores.push_back(*score);
  }
  if (scores.size() > 1 && !flags.json) {
    apps::print_line("median of " + std::to_string(scores.size()) + " seeds: " + text_of(apps::median(scores)));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  apps::CommandLine line("Teaches the bipedal walker to walk with PPO. The defaults are the FOP paper's protocol.",
                         examples, program);
  Flags flags;
  flags.add_to(line);
  return apps::run(line, argc, argv, [&] {
    flags.check_seeds();
    for (const std::string& remark : flags.without_effect(line)) apps::note(remark);
    return train(flags);
  });
}
