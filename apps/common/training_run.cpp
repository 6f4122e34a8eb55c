#include "apps/common/training_run.h"

#include <algorithm>
#include <cstdio>

#include "apps/common/command_line.h"
#include "apps/common/interrupt.h"
#include "apps/common/progress.h"

namespace gradus::apps {
namespace {

template <class... Args>
std::string format(const char* pattern, Args... args) {
  char text[256];
  std::snprintf(text, sizeof text, pattern, args...);
  return text;
}

class Session {
 public:
  explicit Session(const TrainingRun& run)
      : run_(run), optimizer_(run.flags.make_optimizer(run.model.parameters(), run.train.batches())) {}

  int train() {
    if (run_.directory) run_.directory->start(run_.config);
    const DeferInterrupts deferred;
    std::optional<Score> test;
    while (state_.epoch < run_.flags.epochs) {
      const double lr = optimizer_.lr();
      const Stopwatch watch;
      const auto trained = train_epoch(run_.model, optimizer_, run_.train, state_, [&](const Score& score) {
        show_progress("loss", score, score.images, 0, watch);
        return !interrupted();
      });
      if (!trained) return stop();
      const double seconds = watch.seconds();
      if (!(test = evaluate_model())) return stop();
      report(lr, *trained, *test, seconds);
    }
    if (!test && !(test = evaluate_model())) return stop();
    save(true);
    finish(*test);
    return 0;
  }

 private:
  std::optional<Score> evaluate_model() {
    const Stopwatch watch;
    return evaluate(run_.model, run_.test, [&](const Score& score) {
      show_progress("test loss", score, 0, score.images, watch);
      return !interrupted();
    });
  }

  // An image costs a forward pass when it is tested, and about three times that when it is learned from.
  void show_progress(const char* what, const Score& score, int64_t trained, int64_t tested, const Stopwatch& watch) {
    const auto cost = [](int64_t train, int64_t test) { return static_cast<double>(3 * train + test); };
    const bool testing = tested > 0;
    const int64_t epochs = std::max<int64_t>(run_.flags.epochs, 1), complete = state_.epoch - (testing ? 1 : 0);
    const double all = cost(run_.train.dataset().size(), run_.test.dataset().size());
    const double epoch = testing ? cost(run_.train.dataset().size(), tested) : cost(trained, 0);
    const double fraction =
        (static_cast<double>(std::max<int64_t>(complete, 0)) + epoch / all) / static_cast<double>(epochs);
    progress_.show(
        format("epoch %lld/%lld  %s %.4f  %.0f images/s", static_cast<long long>(complete + 1),
               static_cast<long long>(epochs), what, score.loss(), static_cast<double>(score.images) / watch.seconds()),
        fraction);
  }

  void report(double lr, const Score& train, const Score& test, double seconds) {
    const Record metrics = {{"epoch", state_.epoch},
                            {"step", state_.step},
                            {"lr", lr},
                            {"train_loss", train.loss()},
                            {"train_accuracy", train.accuracy()},
                            {"test_loss", test.loss()},
                            {"test_accuracy", test.accuracy()}};
    const double rate = static_cast<double>(train.images) / seconds;
    const Record timing = {{"images_per_s", rate}, {"seconds", seconds}};
    progress_.clear();
    if (run_.directory) {
      run_.directory->add_metrics(metrics);
      Record row = {{"epoch", state_.epoch}};
      row.add(timing);
      run_.directory->add_timing(row);
    }
    if (run_.flags.json) {
      Record row = metrics;
      row.add(timing);
      print_line(row.json());
    } else {
      print_line(format("epoch %lld/%lld  train %.4f %6.2f %%  test %.4f %6.2f %%  %.0f images/s  %s",
                        static_cast<long long>(state_.epoch), static_cast<long long>(run_.flags.epochs), train.loss(),
                        100 * train.accuracy(), test.loss(), 100 * test.accuracy(), rate, duration(seconds).c_str()));
    }
  }

  void finish(const Score& test) {
    progress_.clear();
    if (run_.flags.json) {
      print_line(Record{
          {"final", true}, {"epoch", state_.epoch}, {"test_loss", test.loss()}, {"test_accuracy", test.accuracy()}}
                     .json());
    } else {
      print_line(format("test accuracy %.2f %%", 100 * test.accuracy()));
      if (run_.directory) print_line("saved in " + run_.directory->path());
    }
  }

  int stop() {
    progress_.clear();
    save(false);
    note(format("interrupted after %lld steps, in epoch %lld; ", static_cast<long long>(state_.step),
                static_cast<long long>(state_.epoch + 1)) +
         (run_.directory ? "the weights are in " + run_.directory->file("weights.safetensors")
                         : std::string("without --out nothing is saved")));
    return exit_interrupted;
  }

  void save(bool complete) {
    if (!run_.directory) return;
    run_.directory->save_weights(run_.model.state(), {{"complete", complete ? "true" : "false"},
                                                      {"seed", std::to_string(run_.flags.seed)},
                                                      {"epoch", std::to_string(state_.epoch)},
                                                      {"batch", std::to_string(state_.batch)},
                                                      {"step", std::to_string(state_.step)}});
  }

  const TrainingRun& run_;
  optim::Optimizer optimizer_;
  TrainingState state_;
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

int run_training(const TrainingRun& run) { return Session(run).train(); }

}  // namespace gradus::apps
