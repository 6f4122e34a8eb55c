#include "apps/common/training_run.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "apps/common/captured_step.h"
#include "apps/common/checkpoint.h"
#include "apps/common/command_line.h"
#include "apps/common/interrupt.h"
#include "apps/common/memory.h"
#include "apps/common/progress.h"
#include "apps/common/runaway.h"
#include "apps/common/tensorboard.h"
#include "autograd/autocast.h"
#include "core/accelerator.h"
#include "core/joined.h"
#include "core/safetensors.h"
#include "data/cache.h"
#include "models/onnx/export.h"

namespace gradus::apps {
namespace {

template <class... Args>
std::string format(const char* pattern, Args... args) {
  char text[512];
  std::snprintf(text, sizeof text, pattern, args...);
  return text;
}

std::string line_of(const Score& test) {
  const double loss = test.loss();  // printf writes the sign of nan
  return format("test %.4f %6.2f %%", std::isnan(loss) ? std::abs(loss) : loss, 100 * test.accuracy());
}

/// So often the learning rate is halved on account of one place before --on-nonfinite rollback gives up.
constexpr int64_t most_rollbacks = 10;

class Session {
 public:
  explicit Session(const TrainingRun& run)
      : run_(run),
        flags_(run.flags),
        observers_(run.observers),
        optimizer_(flags_.make_optimizer(run.model.parameters(), run.train.batches())),
        checkpoint_every_(flags_.checkpoint_every > 0 ? flags_.checkpoint_every : run.train.batches()) {
    if (flags_.tensorboard && run.start.directory)
      observers_.push_back(&board_.emplace(run.start.directory->path(), run.model, run.train));
    if (flags_.ema > 0) ema_.emplace(run.model.state(), optim::EmaOptions{.decay = flags_.ema});
    if (StepGraph::possible()) capture_steps();
  }

  int train() {
    start();
    const DeferInterrupts deferred;
    const Autocast precision(parse_amp(flags_.amp));
    std::optional<Results> results;
    while (state_.epoch < flags_.epochs) {
      if (state_.batch == 0) lr_ = optimizer_.lr();
      const int64_t images_before = state_.score.images;
      const Stopwatch watch;
      std::optional<Score> trained;
      double seconds = 0;
      try {
        trained = train_epoch(
            run_.model, optimizer_, run_.train, state_,
            [&](const Score& score) { return after_batch(score, images_before, watch); }, epoch_options());
        if (!trained) return stop(state_);
        seconds = watch.seconds();
        results = evaluate_all();
        if (!results) {  // the epoch is trained, but has no results yet
          return stop(
              {.epoch = state_.epoch - 1, .batch = run_.train.batches(), .step = state_.step, .score = *trained});
        }
        if (!results->finite() && flags_.on_nonfinite != "skip") throw not_finite_results();
      } catch (const NotFinite& problem) {
        results.reset();
        optimizer_.zero_grad();  // by gradients that are not finite nothing is to be seen of a preconditioner
        warn_of_runaway(true);
        if (flags_.on_nonfinite != "rollback") throw;
        roll_back(problem);
        continue;
      }
      const double rate = static_cast<double>(trained->images - images_before) / seconds;
      const Record metrics = keep(*trained, *results, rate, seconds);
      warn_of_runaway(false);
      try {
        print(metrics, *trained, *results, rate, seconds);
      } catch (const OutputError& error) {
        if (state_.epoch < flags_.epochs) return stop(state_, error.what());
      }  // the last epoch's results come again below
    }
    if (!results && !(results = evaluate_all())) return stop(state_);
    if (!results->finite()) throw not_finite_results();
    const std::string lost = run_.start.directory ? save_all(*run_.start.directory, state_, true) : "";
    export_model();
    finish(*results, lost.empty());
    if (!lost.empty()) fail(ErrorKind::io, "training", "not all could be saved: ", lost);
    return 0;
  }

 private:
  struct Results {
    Score test;
    std::optional<Score> ema_test;

    bool finite() const { return std::isfinite(test.loss()) && (!ema_test || std::isfinite(ema_test->loss())); }
    Record record(bool top5) const {
      Record record = {{"test_loss", test.loss()}, {"test_accuracy", test.accuracy()}};
      if (top5) record.add("test_top5_accuracy", test.top5_accuracy());
      if (ema_test) {
        record.add("ema_test_loss", ema_test->loss());
        record.add("ema_test_accuracy", ema_test->accuracy());
      }
      return record;
    }
  };

  void capture_steps() {
    captured_.emplace(run_.model, optimizer_,
                      CapturedStepOptions{.label_smoothing = flags_.label_smoothing, .due = [this](int64_t step) {
                                            return step % 50 == 0 || step % checkpoint_every_ == 0;
                                          }});
    std::string obstacle = captured_->obstacle();
    if (flags_.accumulate > 1) obstacle = "--accumulate takes several passes for a step";
    if (flags_.on_nonfinite != "stop")
      obstacle = "--on-nonfinite " + flags_.on_nonfinite + " looks at every gradient before its step";
    if (obstacle.empty()) return;
    captured_.reset();
    if (flags_.device.graph == "on") throw UsageError("--graph on: steps cannot be captured: " + obstacle);
    note("steps are not captured: " + obstacle);
  }

  // ---- Where it begins, and goes on ----

  void start() {
    if (run_.start.checkpoint) {
      if (run_.start.directory) check_same_run(*run_.start.directory, run_.config());
      restore(*run_.start.checkpoint);
      if (run_.start.directory) run_.start.directory->resume(metrics_, state_.epoch);
      announce(flags_, format("goes on after %lld steps, in epoch %lld", static_cast<long long>(state_.step),
                              static_cast<long long>(state_.epoch + 1)));
    } else if (run_.start.directory) {
      run_.start.directory->start(run_.config());
      if (!flags_.resume.empty()) announce(flags_, "no checkpoint yet: trains from the beginning");
      if (flags_.on_nonfinite == "rollback") save_checkpoint(*run_.start.directory, state_);
    }
    if (run_.start.directory && run_.started) run_.started(*run_.start.directory);
    for (TrainingObserver* observer : observers_) observer->begin(state_.step);
  }

  void restore(const Checkpoint& checkpoint) {
    if (checkpoint.text("seed") != std::to_string(flags_.seed))
      fail(ErrorKind::io, "checkpoint", checkpoint.path, " is of a training with seed ", checkpoint.text("seed"),
           ", but the run in this folder has ", flags_.seed, ": remove it, and the one before is taken");
    apps::restore(checkpoint, run_.model, optimizer_, state_);
    if (ema_) ema_->load(checkpoint.under("ema"));
    lr_ = checkpoint.number("lr");
    rollbacks_ = checkpoint.integer("rollbacks");
    failed_at_ = checkpoint.integer("failed_at");
    metrics_ = {checkpoint.text("metrics.jsonl"), checkpoint.text("metrics.csv")};
  }

  // To a checkpoint that every run of this configuration has, however often it was interrupted, so that all go the same
  // way from here. The first time it is the last one; if that is past help already, the one before.
  void roll_back(const NotFinite& problem) {
    const std::string& folder = run_.start.directory->path();
    const int64_t rollbacks = rollbacks_ + 1, failed_at = std::max(failed_at_, state_.step);
    if (rollbacks > most_rollbacks) throw problem;
    std::vector<int64_t> due = checkpoints_in(folder);
    std::erase_if(due, [this](int64_t step) { return step % checkpoint_every_ != 0; });
    if (rollbacks > 1 && due.size() > 1) std::filesystem::remove(checkpoint_path(folder, due[0]));
    std::optional<Checkpoint> checkpoint = newest_checkpoint(folder, note, checkpoint_every_);
    if (!checkpoint) throw problem;

    for (const auto& [name, tensor] : optimizer_.state())
      if (name.starts_with("group.") && name.ends_with("/lr"))
        checkpoint->tensors["optimizer/" + name] = Tensor::full({}, tensor.item() / 2, tensor.dtype());
    restore(*checkpoint);
    rollbacks_ = rollbacks;
    failed_at_ = failed_at;
    for (int64_t step : checkpoints_in(folder))
      if (step > state_.step) std::filesystem::remove(checkpoint_path(folder, step));
    progress_.clear();
    note(text(problem.what(), "; goes back to step ", state_.step, ", with the learning rate ", optimizer_.lr()));
    meanwhile("metrics are not saved", [&] { run_.start.directory->resume(metrics_, state_.epoch); });
    for (TrainingObserver* observer : observers_)
      meanwhile("metrics are not saved", [&] { observer->begin(state_.step); });
  }

  // ---- Training and testing ----

  EpochOptions epoch_options() {
    EpochOptions options = {.label_smoothing = flags_.label_smoothing,
                            .ema = ema_ ? &*ema_ : nullptr,
                            .accumulate = flags_.accumulate,
                            .captured = captured_ ? &*captured_ : nullptr};
    options.left_out = [this](const std::string& reason) {
      if (std::exchange(told_left_out_, true)) return;
      progress_.clear();
      note(reason + "; such a batch is left out");
    };
    if (flags_.on_nonfinite == "skip")
      options.skip = [this](const std::string& reason) {
        progress_.clear();
        note(reason + "; the batch is left out");
      };
    return options;
  }

  bool after_batch(const Score& score, int64_t images_before, const Stopwatch& watch) {
    const int64_t images = score.images - images_before;
    show_progress("train loss", score, static_cast<double>(images) / watch.seconds(), score.images, 0);
    if (interrupted()) return false;
    if (flags_.checkpoint_every > 0 && state_.step % checkpoint_every_ == 0 && run_.start.directory) save_meanwhile();
    return true;
  }

  /// A step is looked at before it is made, the last one by its results.
  NotFinite not_finite_results() const {
    return NotFinite(text("[training] the test loss after step ", state_.step,
                          " is not finite; a smaller learning rate than ", optimizer_.lr(), " may help"));
  }

  std::optional<Results> evaluate_all() {
    const std::optional<Score> test = evaluate_model("test loss");
    if (!test || !ema_) return test ? std::optional<Results>({*test, std::nullopt}) : std::nullopt;
    const optim::EmaScope averaged(*ema_);
    const std::optional<Score> ema_test = evaluate_model("average's test loss");
    return ema_test ? std::optional<Results>({*test, ema_test}) : std::nullopt;
  }

  std::optional<Score> evaluate_model(const char* what) {
    const Stopwatch watch;
    return evaluate(run_.model, run_.test, [&](const Score& score) {
      show_progress(what, score, static_cast<double>(score.images) / watch.seconds(), 0, score.images);
      return !interrupted();
    });
  }

  // An image costs a forward pass when it is tested, and about three times that when it is learned from.
  void show_progress(const char* what, const Score& score, double rate, int64_t trained, int64_t tested) {
    const auto cost = [](int64_t train, int64_t test) { return static_cast<double>(3 * train + test); };
    const bool testing = tested > 0;
    const int64_t epochs = std::max<int64_t>(flags_.epochs, 1), complete = state_.epoch - (testing ? 1 : 0);
    const double all = cost(run_.train.source().size(), run_.test.source().size());
    const double epoch = testing ? cost(run_.train.source().size(), tested) : cost(trained, 0);
    const double fraction =
        (static_cast<double>(std::max<int64_t>(complete, 0)) + epoch / all) / static_cast<double>(epochs);
    progress_.show(format("epoch %lld/%lld  %s %.4f  %.0f images/s", static_cast<long long>(complete + 1),
                          static_cast<long long>(epochs), what, score.loss(), rate),
                   fraction);
  }

  // ---- What it leaves behind ----

  /// Saves what an epoch has brought, before anybody is told; returns its row of metrics.
  Record keep(const Score& train, const Results& results, double rate, double seconds) {
    Record metrics = {{"epoch", state_.epoch},
                      {"step", state_.step},
                      {"lr", lr_},
                      {"train_loss", train.loss()},
                      {"train_accuracy", train.accuracy()}};
    metrics.add(results.record(run_.top5));
    if (flags_.on_nonfinite == "skip") metrics.add("skipped", train.skipped);
    progress_.clear();
    metrics_.add(metrics);
    if (RunDirectory* directory = run_.start.directory ? &*run_.start.directory : nullptr) {
      // The checkpoint, from which a training goes on, has the metrics too: what they lack no next one lacks.
      if (flags_.checkpoint_every == 0) save_meanwhile();
      meanwhile("metrics are not saved", [&] { directory->save_metrics(metrics_); });
      meanwhile("times are not saved", [&] {
        directory->add_timing({{"epoch", state_.epoch}, {"images_per_s", rate}, {"seconds", seconds}});
      });
    }
    for (TrainingObserver* observer : observers_) meanwhile("metrics are not saved", [&] { observer->epoch(metrics); });
    return metrics;
  }

  void print(const Record& metrics, const Score& train, const Results& results, double rate, double seconds) {
    if (flags_.json) {
      Record row = metrics;
      row.add({{"images_per_s", rate}, {"seconds", seconds}});
      print_line(row.json());
    } else {
      print_line(format("epoch %lld/%lld  train %.4f %6.2f %%  ", static_cast<long long>(state_.epoch),
                        static_cast<long long>(flags_.epochs), train.loss(), 100 * train.accuracy()) +
                 line_of(results.test) + top5_of(results.test) +
                 (results.ema_test ? ", average " + line_of(*results.ema_test) : "") +
                 format("  %.0f images/s  %s", rate, duration(seconds).c_str()));
    }
  }

  std::string top5_of(const Score& test) const {
    return run_.top5 ? format(" (top-5 %.2f %%)", 100 * test.top5_accuracy()) : "";
  }

  void finish(const Results& results, bool all_saved) {
    progress_.clear();
    if (flags_.json) {
      Record last = {{"final", true}, {"epoch", state_.epoch}};
      last.add(results.record(run_.top5));
      last.add("peak_rss_mb", peak_rss_mb());
      print_line(last.json());
    } else {
      print_line(format("test accuracy %.2f %%", 100 * results.test.accuracy()) + top5_of(results.test) +
                 (results.ema_test ? format(", of the average %.2f %%", 100 * results.ema_test->accuracy()) : ""));
      print_line(format("peak memory %.0f MB", peak_rss_mb()));
      if (run_.start.directory && all_saved) print_line("saved in " + run_.start.directory->path());
    }
  }

  void warn_of_runaway(bool lost) {
    if (warned_of_runaway_) return;
    const std::string line = runaway_note(optimizer_, flags_, lost);
    warned_of_runaway_ = !line.empty();
    if (!warned_of_runaway_) return;
    progress_.clear();
    note(text(state_.batch > 0 ? "in" : "after", " epoch ", state_.epoch + (state_.batch > 0 ? 1 : 0), " ", line));
  }

  /// Where an error stops it, and nobody's signal, `problem` says so.
  int stop(const TrainingState& at, const std::string& problem = "") {
    progress_.clear();
    const std::string done = text(problem.empty() ? "" : problem + "; ", "interrupted after ", at.step,
                                  " steps, in epoch ", at.epoch + 1, "; ");
    if (run_.start.directory) {
      const std::string &folder = run_.start.directory->path(), lost = save_all(*run_.start.directory, at, false);
      if (!lost.empty()) note("not all could be saved: " + lost);
      note(done + (checkpoints_in(folder).empty() ? "to begin again: --resume " : "to go on: --resume ") + folder);
    } else {
      note(done + save_in_cache(at));
    }
    return problem.empty() ? exit_interrupted : 1;
  }

  // Nobody asked for results on disk, but nobody likes to lose hours either.
  std::string save_in_cache(const TrainingState& at) {
    if (cache_folder().empty()) return "without --out nothing is saved";
    try {
      RunDirectory directory(text(cache_folder(), "/interrupted/", program_invocation_short_name, "-", getpid()));
      directory.start(run_.config());
      directory.save_metrics(metrics_);
      save_checkpoint(directory, at);
      return "to go on: --resume " + directory.path();
    } catch (const Error& error) {
      return std::string("and nothing could be saved: ") + error.what();
    }
  }

  /// The checkpoint, the weights and the metrics, each also where another does not fit on the disk. Returns what went
  /// wrong.
  std::string save_all(const RunDirectory& directory, const TrainingState& at, bool complete) {
    std::string lost;
    const auto attempt = [&](const auto& save) { try_to_save(save, lost); };
    attempt([&] { save_checkpoint(directory, at); });
    attempt([&] { save_weights(directory, at, complete); });
    if (!std::exchange(metrics_lack_, false)) return lost;
    attempt([&] { directory.save_metrics(metrics_); });
    attempt([&] { directory.save_timing(); });
    return lost;
  }

  /// Saves on the way what the training goes on without; `lack` says what is not there then.
  void meanwhile(const char* lack, const auto& save) {
    try {
      save();
    } catch (const Error& error) {
      metrics_lack_ = true;
      progress_.clear();
      note(text(lack, " after step ", state_.step, ", the training goes on: ", error.what()));
    }
  }
  void save_meanwhile() {
    meanwhile("no checkpoint", [this] { save_checkpoint(*run_.start.directory, state_); });
  }

  void save_checkpoint(const RunDirectory& directory, const TrainingState& at) {
    if (at.step % checkpoint_every_ == 0 && at.step > failed_at_) rollbacks_ = 0;
    Checkpoint checkpoint = checkpoint_of(run_.model, optimizer_, at);
    if (ema_) checkpoint.add("ema", ema_->state());
    checkpoint.metadata["seed"] = std::to_string(flags_.seed);
    checkpoint.metadata["lr"] = exact(lr_);
    checkpoint.metadata["rollbacks"] = std::to_string(rollbacks_);
    checkpoint.metadata["failed_at"] = std::to_string(failed_at_);
    checkpoint.metadata["metrics.jsonl"] = metrics_.jsonl;
    checkpoint.metadata["metrics.csv"] = metrics_.csv;
    apps::save_checkpoint(directory.path(), at.step, checkpoint, checkpoint_every_);
  }

  /// In float32, whatever --amp says. What the file cannot say in its graph is in its metadata: inputs are (pixel / 255
  /// - mean) / std per channel.
  void export_model() {
    if (flags_.export_onnx.empty()) return;
    const Autocast precision(DType::float32);
    const DatasetInfo& images = run_.train.source().info();
    const Normalization& normalization = run_.train.options().normalization;
    export_onnx(flags_.export_onnx, run_.model, {1, images.channels, images.height, images.width},
                {.input = "images",
                 .output = "logits",
                 .metadata = {{"mean", joined(normalization.mean, exact, ",")},
                              {"std", joined(normalization.std, exact, ",")},
                              {"classes", joined(images.class_names, std::identity(), ",")}}});
    announce(flags_, "exported " + flags_.export_onnx);
  }

  void save_weights(const RunDirectory& directory, const TrainingState& at, bool complete) {
    const std::map<std::string, std::string> metadata = {{"complete", complete ? "true" : "false"},
                                                         {"seed", std::to_string(flags_.seed)},
                                                         {"epoch", std::to_string(at.epoch)},
                                                         {"batch", std::to_string(at.batch)},
                                                         {"step", std::to_string(at.step)}};
    if (ema_) directory.save_weights(ema_->averages(), metadata, "weights.ema.safetensors");
    directory.save_weights(run_.model.state(), metadata);
  }

  const TrainingRun& run_;
  const TrainingFlags& flags_;
  std::optional<TensorBoard> board_;
  std::vector<TrainingObserver*> observers_;
  optim::Optimizer optimizer_;
  std::optional<optim::Ema> ema_;
  const int64_t checkpoint_every_;  ///< steps
  std::optional<CapturedStep> captured_;
  TrainingState state_;
  double lr_ = 0;                   ///< of the first step of the epoch under way
  int64_t rollbacks_ = 0;           ///< since a checkpoint beyond failed_at_ was due
  int64_t failed_at_ = 0;           ///< the latest step that was not finite
  bool warned_of_runaway_ = false;  ///< by this process: one that goes on says it again
  bool told_left_out_ = false;      ///< by this process, of a batch of a single image
  Metrics metrics_;
  bool metrics_lack_ = false;  ///< their files, of what is in metrics_
  Progress progress_;
};

}  // namespace

void announce(const TrainingFlags& flags, const std::string& line) {
  if (flags.json) {
    std::fprintf(stderr, "%s\n", line.c_str());
  } else {
    print_line(line);
  }
}

void introduce(const TrainingFlags& flags, const Start& start, const std::string& data, const std::string& model_name,
               const Module& model, const std::vector<std::string>& notes) {
  announce(flags, "data: " + data);
  announce(flags, text("model: ", model_name, ", ", model.parameter_count(), " parameters; ", flags.rule,
                       " with preconditioner ", flags.preconditioner));
  announce(flags, "device: " + describe_device());
  for (const std::string& line : notes) note(line);
  tell_replaced(flags, start);
}

void load_weights(const TrainingFlags& flags, const std::string& model_name, Module& model, bool new_classifier) {
  if (flags.weights.empty()) return;
  safetensors::Content content = safetensors::load(flags.weights);
  const Checkpoint file{std::move(content.tensors), std::move(content.metadata), flags.weights};
  if (const auto complete = file.metadata.find("complete");
      complete != file.metadata.end() && complete->second == "false")
    note(flags.weights + " is of a training that was interrupted: to complete it, --resume its folder");
  StateDict weights = file.under("model");
  if (weights.empty()) weights = file.tensors;
  const StateDict own = model.state();
  if (new_classifier)
    for (const char* name : {"fc.weight", "fc.bias"})
      if (const auto found = weights.find(name);
          found != weights.end() && own.contains(name) && found->second.shape() != own.at(name).shape()) {
        note(text(name, " in ", flags.weights, " is for other classes: it is learned anew"));
        found->second = own.at(name);
      }
  try {
    model.load(weights);
  } catch (const Error& error) {
    fail(error.kind(), "weights", flags.weights, " does not fit --model ", model_name, ": ", error.what());
  }
}

int run_training(const TrainingRun& run) { return Session(run).train(); }

}  // namespace gradus::apps
