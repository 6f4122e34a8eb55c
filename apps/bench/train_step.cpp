// A whole training step on one fixed random batch: forward, cross-entropy, backward, optimizer.
#include <memory>

#include "apps/bench/benchmarks.h"
#include "apps/bench/measure.h"
#include "apps/bench/setup.h"
#include "apps/common/command_line.h"
#include "core/convolution.h"
#include "core/parallel.h"

namespace gradus::apps::bench {
namespace {

struct Flags : MeasureFlags {
  std::string model = "all_cnn", rule = "momentum", preconditioner = "none", conv = "auto";
  int64_t batch = 128, steps = 3;
};

void run(const Flags& flags) {
  set_conv_algorithm(parse_conv_algorithm(flags.conv));
  if (flags.threads > 0) set_num_threads(static_cast<int>(flags.threads));
  TrainingSubject training(flags.model, flags.batch, flags.rule, flags.preconditioner);
  training.step();  // makes plans, touches memory
  training.step();
  const double images = static_cast<double>(flags.steps * flags.batch);
  Record record = measure({.rate_name = "images_per_s",
                           .per_step = static_cast<double>(flags.batch),
                           .round =
                               [&] {
                                 return images / seconds_of([&] {
                                          for (int64_t i = 0; i < flags.steps; ++i) training.step();
                                        });
                               }},
                          flags);
  record.add({{"model", flags.model},
              {"batch", flags.batch},
              {"dtype", std::string("float32")},
              {"rule", flags.rule},
              {"preconditioner", flags.preconditioner},
              {"conv", flags.conv}});
  report("training step of " + flags.model, record, flags);
}

}  // namespace

std::function<void()> add_train_step(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("--model", flags->model, "all_cnn (every 3x3 padded by 1, no dropout) or another model by name");
  app.add_option("--batch", flags->batch, "images per step")->check(at_least(1));
  app.add_option("--steps", flags->steps, "training steps per round")->check(at_least(1));
  add_optimizer_flags(app, flags->rule, flags->preconditioner);
  app.add_option("--conv", flags->conv, "convolution algorithm")
      ->check(CLI::IsMember({"direct", "winograd", "auto", "measure"}));
  flags->add_to(app);
  return [flags] { run(*flags); };
}

}  // namespace gradus::apps::bench
