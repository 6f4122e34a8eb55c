#include "apps/common/device_flags.h"

#include <filesystem>

#include "apps/common/command_line.h"
#include "core/accelerator.h"
#include "core/step_graph.h"

namespace gradus::apps {

void DeviceFlags::add_to(CommandLine& line) {
  line.group("GPU");
  line.add("--tf32", tf32, "float32 products and convolutions on the tensor cores, with 10 bits of mantissa");
  line.add("--fast", fast, "also algorithms that may give other bits in an equal run");
  line.add("--plans", plans,
           "where convolutions' plans come from. By default cuDNN's rule, the same in equal runs; measure: the\n"
           "fastest, timed; FILE: those in it, others are timed and added to it");
  line.add("--graph", graph,
           "forward and backward pass of a step as one CUDA graph, with the same result. on: or say why not and\n"
           "end; auto: on a GPU where it can be",
           one_of({"auto", "on", "off"}));
}

void DeviceFlags::apply() const {
  set_accelerator({.tf32 = tf32, .fast = fast, .plans = plans, .graphs = graph != "off"});
  if (graph == "on" && !StepGraph::possible()) throw UsageError("--graph on: a build for the CPU captures nothing");
  set_warning_handler([](const std::string& line) { note(line); });
}

std::vector<std::string> DeviceFlags::without_effect(const CommandLine& line) const {
  std::vector<std::string> notes;
  for (const char* flag : {"--tf32", "--fast", "--plans", "--graph"})
    if (line.given(flag) && device_name() != "cuda")
      notes.push_back(std::string(flag) + " has no effect in a build for the CPU");
  return notes;
}

Record DeviceFlags::record() const {
  const bool is_file = !plans.empty() && plans != "measure";
  const std::string place = is_file ? std::filesystem::absolute(plans).lexically_normal().string() : plans;
  return {{"tf32", tf32}, {"fast", fast}, {"plans", place}, {"graph", graph}};
}

}  // namespace gradus::apps
