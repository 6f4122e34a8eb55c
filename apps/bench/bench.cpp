// Measures the speed of gradus, alone or in turn with another program. Every number of docs/performance.md comes from
// here.
#include "apps/bench/benchmarks.h"
#include "apps/common/command_line.h"

using namespace gradus::apps;

namespace {

constexpr const char* examples = R"(Examples:
  bench train-step --model all_cnn --batch 128
      images per second of a whole training step: forward, backward, momentum
  bench train-step --json --against "python3 apps/bench/torch_baseline.py train-step"
      the same in turn with another program that prints a JSON object with images_per_s; reports the ratio
  bench train-step --preconditioner fop --beside none
      what FOP adds to a step, in turn with the same step without it
  bench conv
      every convolution of All-CNN-C: forward and both gradients, by each algorithm
  bench optimizer
      each rule and preconditioner: time per step, share of a training step, bytes of state)";

constexpr const char* ops_example = R"(Example:
  bench ops --only matmul --against "python3 apps/bench/torch_ops.py --only matmul"
      each product beside the same in PyTorch; the times are the fastest of the rounds)";

constexpr const char* walker_example = R"(Example:
  bench walker --threads 1 --against "python3 apps/walker/ppo_torch.py"
      beside the same updates in PyTorch)";

}  // namespace

int main(int argc, char** argv) {
  CommandLine line("Measures the speed of gradus.", examples, "bench");
  line.require_command();
  std::vector<std::pair<const CommandLine*, std::function<void()>>> benchmarks;
  const auto add = [&](const char* name, const char* what, std::function<void()> (*make)(CommandLine&),
                       const char* more_examples = "") {
    CommandLine& command = line.add_command(name, what, more_examples);
    benchmarks.emplace_back(&command, make(command));
  };
  add("train-step", "a training step on one fixed random batch", bench::add_train_step);
  add("conv", "each convolution of a model, by each algorithm", bench::add_conv);
  add("optimizer", "the optimizer's part of a training step", bench::add_optimizer);
  add("ops", "single operations, forward and with their gradients", bench::add_ops, ops_example);
  add("small-net", "updates of a tiny actor-critic network", bench::add_small_net);
  add("loader", "batches of 32x32 images from memory, or of photographs from files", bench::add_loader);
  add("walker", "the bipedal walker: its environment, PPO, and PPO's updates alone", bench::add_walker, walker_example);
  return run(line, argc, argv, [&] {
    for (const auto& [command, work] : benchmarks)
      if (command->chosen()) work();
    return 0;
  });
}
