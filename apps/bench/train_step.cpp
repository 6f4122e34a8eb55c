// A whole training step on one fixed random batch: forward, cross-entropy, backward, optimizer; and, in turn with it,
// the same step with another preconditioner.
#include <algorithm>
#include <memory>
#include <optional>

#include "apps/bench/benchmarks.h"
#include "apps/bench/measure.h"
#include "apps/bench/setup.h"
#include "apps/common/command_line.h"
#include "apps/common/device_flags.h"
#include "apps/common/training_flags.h"
#include "autograd/autocast.h"
#include "core/accelerator.h"
#include "core/convolution.h"
#include "models/registry.h"

namespace gradus::apps::bench {
namespace {

struct TrainStepFlags : MeasureFlags {
  std::string model = "all_cnn", conv = "auto", amp = "none", beside;
  OptimizerChoice optimizer;
  int64_t batch = 128, steps = 3, side = 0, classes = 0;
  DeviceFlags device;
};

void bench_train_step(const TrainStepFlags& flags) {
  set_conv_algorithm(parse_conv_algorithm(flags.conv));
  flags.device.apply();
  use_threads(flags.threads);
  SubjectOptions options{.model = flags.model,
                         .batch = flags.batch,
                         .side = flags.side,
                         .classes = flags.classes,
                         .optimizer = flags.optimizer,
                         .dtype = parse_amp(flags.amp)};
  TrainingSubject training(options);
  std::optional<TrainingSubject> beside;
  if (!flags.beside.empty()) {
    options.optimizer.preconditioner = flags.beside;
    beside.emplace(options);
  }
  const auto seconds = [](TrainingSubject& subject, int64_t steps) {
    return seconds_of([&] {
      for (int64_t i = 0; i < steps; ++i) subject.step();
    });
  };
  // Makes plans, touches memory, and captures the step on a GPU.
  seconds(training, 4);
  if (beside) seconds(*beside, 4);
  const double images = static_cast<double>(flags.steps * flags.batch);
  std::vector<double> extra;
  const auto round = [&] {
    const bool beside_first = beside && extra.size() % 2 == 1;  // each comes first in turn
    double other = beside_first ? seconds(*beside, flags.steps) : 0;
    const double time = seconds(training, flags.steps);
    if (beside && !beside_first) other = seconds(*beside, flags.steps);
    if (beside) extra.push_back(time / other - 1);
    return images / time;
  };
  Record record =
      measure({.rate_name = "images_per_s", .per_step = static_cast<double>(flags.batch), .round = round}, flags);
  if (beside)
    record.add({{"beside", flags.beside},
                {"extra_time", median(extra)},
                {"extra_time_min", *std::min_element(extra.begin(), extra.end())},
                {"extra_time_max", *std::max_element(extra.begin(), extra.end())}});
  record.add({{"model", flags.model},
              {"batch", flags.batch},
              {"side", training.options().side},
              {"classes", training.options().classes},
              {"dtype", std::string(name(parse_amp(flags.amp)))},
              {"rule", flags.optimizer.rule},
              {"preconditioner", flags.optimizer.preconditioner},
              {"acts_on", flags.optimizer.acts_on},
              {"conv", flags.conv},
              {"device", describe_device()}});
  record.add(flags.device.record());
  report("training step of " + flags.model, record, flags);
}

}  // namespace

std::function<void()> add_train_step(CommandLine& line) {
  auto flags = std::make_shared<TrainStepFlags>();
  line.add("--model", flags->model, "all_cnn: every 3x3 padded by 1, no dropout; or another model",
           one_of(model_names()));
  line.add("--batch", flags->batch, "images per step", at_least(1));
  line.add("--side", flags->side, "height and width of the images; 0: 224 for ResNets, 32 for others", side(0));
  line.add("--classes", flags->classes, "0: 1000 for ResNets, 10 for others", at_least(0));
  line.add("--steps", flags->steps, "training steps per round", at_least(1));
  flags->optimizer.add_to(line);
  line.add("--beside", flags->beside,
           "another preconditioner, measured in turn; extra_time: how much longer --preconditioner's step takes, as a\n"
           "fraction of this one's",
           one_of(preconditioner_names()));
  line.add("--conv", flags->conv, "convolution algorithm", one_of({"direct", "winograd", "auto", "measure"}));
  line.add("--amp", flags->amp, "mixed precision: bf16 computes in bfloat16 with float32 parameters",
           one_of({"none", "bf16"}));
  flags->device.add_to(line);
  flags->add_to(line);
  return [flags, &line] {
    for (const std::string& remark : flags->device.without_effect(line)) note(remark);
    bench_train_step(*flags);
  };
}

}  // namespace gradus::apps::bench
