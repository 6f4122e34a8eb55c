#include "apps/bench/setup.h"

#include "apps/common/command_line.h"
#include "apps/common/training_flags.h"
#include "autograd/autocast.h"
#include "core/ops.h"
#include "core/random.h"
#include "models/registry.h"

namespace gradus::apps::bench {
namespace {

SubjectOptions resolved(SubjectOptions options) {
  const bool photographs = options.model.starts_with("resnet");
  if (options.side == 0) options.side = photographs ? 224 : 32;
  if (options.classes == 0) options.classes = photographs ? 1000 : 10;
  return options;
}

Tensor random_labels(int64_t count, int64_t classes) {
  Generator draw(1);
  std::vector<int64_t> labels(static_cast<size_t>(count));
  for (int64_t& label : labels) label = static_cast<int64_t>(draw.below(static_cast<uint64_t>(classes)));
  return Tensor::from(labels, {count});
}

}  // namespace

void OptimizerChoice::add_to(CommandLine& line) {
  line.add("--rule", rule, "update rule",
           one_of({"sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "adagrad"}));
  line.add("--preconditioner", preconditioner, "learned preconditioner", one_of(preconditioner_names()));
  add_acts_on(line, acts_on);
}

void add_acts_on(CommandLine& line, std::string& acts_on) {
  line.add("--acts-on", acts_on, "what preconditioners multiply: the gradient or the rule's direction",
           one_of({"gradient", "direction"}));
}

optim::Optimizer OptimizerChoice::make(const std::vector<Parameter>& parameters) const {
  TrainingFlags flags;
  flags.rule = rule;
  flags.preconditioner = preconditioner;
  flags.acts_on = acts_on;
  flags.lr = 1e-2;
  flags.weight_decay = 0;
  flags.decay_mode = "coupled";
  return flags.make_optimizer(parameters, 1);
}

TrainingSubject::TrainingSubject(const SubjectOptions& options)
    : options_(resolved(options)),
      model_(make_model(options_.model, {.image = {3, options_.side, options_.side},
                                         .classes = options_.classes,
                                         .dropout = false,
                                         .padding = AllCnnPadding::every})),
      batch_{
          contiguous(random_normal({options_.batch, 3, options_.side, options_.side}, 0, 1, {}), Layout::channels_last),
          random_labels(options_.batch, options_.classes)},
      optimizer_(options_.optimizer.make(model_->parameters())),
      captured_(*model_, optimizer_, {}) {}

void TrainingSubject::gradients() {
  const Autocast scope(options_.dtype);
  if (captured_.take(batch_, steps_++, score_)) return;
  optimizer_.zero_grad();
  cross_entropy((*model_)(batch_.images), batch_.labels).backward();
}

}  // namespace gradus::apps::bench
