#include "core/cuda/conv_plan.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/accelerator.h"
#include "core/cuda/context.h"
#include "core/cuda/conv_check.h"
#include "core/cuda/conv_graph.h"
#include "core/cuda/launch.h"
#include "core/cuda/plan_file.h"
#include "core/error.h"
#include "core/step_graph.h"

namespace gradus::cuda {
namespace {

// ---- Plans ----------------------------------------------------------------------------------------------------------

/// An engine made ready. Running it changes nothing in it.
class Plan {
 public:
  /// Nothing where the engine turns out not to support the graph after all.
  static std::unique_ptr<Plan> make(const Target& target, const Proposal& proposal) {
    auto plan = make_plan(target, proposal);
    if (!plan) return nullptr;
    int64_t workspace = 0;
    plan->get(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &workspace);
    return std::unique_ptr<Plan>(new Plan(std::move(plan), workspace, proposal.name));
  }

  int64_t workspace() const { return workspace_; }
  const std::string& name() const { return name_; }

  cudnnStatus_t run(cudnnHandle_t handle, const ConvOperands& o) const {
    const Storage scratch = Storage::allocate(static_cast<size_t>(workspace_));
    int64_t ids[] = {id_x, id_w, id_y, id_bias};
    void* pointers[] = {o.x.raw(), o.w.raw(), o.y.raw(), o.bias.defined() ? o.bias.raw() : nullptr};
    const int64_t count = o.bias.defined() ? 4 : 3;
    void* workspace = scratch.data();
    Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, ids);
    pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, pointers);
    pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    pack.finalize();
    return cudnnBackendExecute(handle, plan_->raw(), pack.raw());
  }

 private:
  Plan(std::unique_ptr<Descriptor> plan, int64_t workspace, std::string name)
      : plan_(std::move(plan)), workspace_(workspace), name_(std::move(name)) {}

  std::unique_ptr<Descriptor> plan_;
  int64_t workspace_;
  std::string name_;
};

// ---- Trials ---------------------------------------------------------------------------------------------------------

/// Milliseconds of a run, the best of several; infinite where it fails. Before each run the cache is filled with other
/// memory, `other`: between two passes of one layer a training step touches more than the cache holds.
double milliseconds(cudnnHandle_t handle, const Plan& plan, const ConvOperands& operands, const Storage& other) {
  const cudaStream_t stream = Context::get().stream();
  const auto make_event = [] {
    cudaEvent_t event = nullptr;
    check(cudaEventCreate(&event), "making an event");
    return std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, decltype(&cudaEventDestroy)>(event, &cudaEventDestroy);
  };
  const auto begin = make_event(), end = make_event();
  float best = INFINITY;
  for (int repeat = 0; repeat < 6; ++repeat) {  // the first one also loads code
    zero_bytes(other.data(), other.bytes());
    check(cudaEventRecord(begin.get(), stream), "timing a convolution");
    if (plan.run(handle, operands) != CUDNN_STATUS_SUCCESS) return INFINITY;
    check(cudaEventRecord(end.get(), stream), "timing a convolution");
    check(cudaEventSynchronize(end.get()), "timing a convolution");
    float time = 0;
    check(cudaEventElapsedTime(&time, begin.get(), end.get()), "timing a convolution");
    best = std::min(best, time);
  }
  return best;
}

// ---- The choice -----------------------------------------------------------------------------------------------------

/// Whether there is memory for its workspace; another plan may need less.
bool has_room(const Plan& plan) {
  try {
    Storage::allocate(static_cast<size_t>(plan.workspace()));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::device) throw;
    return false;
  }
  return true;
}

std::unique_ptr<Plan> choose(cudnnHandle_t handle, const ConvKey& key) {
  check_not_capturing(name(key.pass));  // before a trial spoils the capture
  const Target target(handle);
  const auto graph = ConvGraph(key).bind(target);
  if (!graph) return nullptr;
  const cudaDeviceProp& gpu = Context::get().properties();
  const auto most_workspace = static_cast<int64_t>(gpu.totalGlobalMem / 8);
  /// The next one that the settings allow, or the one with this name, made ready; nothing at the end.
  const auto next = [&](Proposals& proposals, const std::string& name = "") -> std::unique_ptr<Plan> {
    while (const std::optional<Proposal> proposal = proposals.next())
      if (allowed(*proposal, key.dtype, accelerator()) && (name.empty() || proposal->name == name))
        if (auto plan = Plan::make(target, *proposal); plan && plan->workspace() <= most_workspace && has_room(*plan))
          return plan;
    return nullptr;
  };
  Proposals all(target, *graph);
  const ConvOperands operands = random_operands(key);
  const auto passes = [&](const Plan& plan) {
    const std::string name = "cuDNN's " + plan.name();
    const bool is_right = passes_check(key, operands, name, [&]() -> std::string {
      const cudnnStatus_t status = plan.run(handle, operands);
      return status == CUDNN_STATUS_SUCCESS ? "" : cudnnGetErrorString(status);
    });
    return is_right && keeps_nan(key, operands, name, [&](const ConvOperands& o) { plan.run(handle, o); });
  };
  const std::string& source = accelerator().plans;
  if (source.empty()) {
    while (auto plan = next(all))
      if (passes(*plan)) return plan;
    return nullptr;
  }

  std::optional<PlanFile> file;
  if (source != "measure") file.emplace(source);
  const std::string problem = text(gpu.name, ", cuDNN ", cudnnGetVersion(), ", ", describe(key));
  if (const std::string known = file ? file->find(problem) : ""; !known.empty()) {
    Proposals again(target, *graph);
    if (auto plan = next(again, known); plan && passes(*plan)) return plan;
  }
  struct Timed {
    double time;
    std::unique_ptr<Plan> plan;
  };
  std::vector<Timed> timed;
  const Storage other = Storage::allocate(2 * static_cast<size_t>(gpu.l2CacheSize));
  while (auto plan = next(all)) {
    const double time = milliseconds(handle, *plan, operands, other);
    timed.push_back({time, std::move(plan)});
  }
  std::stable_sort(timed.begin(), timed.end(), [](const Timed& a, const Timed& b) { return a.time < b.time; });
  for (Timed& t : timed)
    if (passes(*t.plan)) {
      if (file) file->add(problem, t.plan->name());
      return std::move(t.plan);
    }
  return nullptr;
}

}  // namespace

bool library_conv(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec) {
  static std::mutex mutex;  // also of the handle, which serves one thread, and its stream, at a time
  static std::unordered_map<ConvKey, std::unique_ptr<Plan>, ConvKeyHash> plans;
  constexpr size_t most = 4096;  // a program with ever new shapes must not grow for ever
  const ConvKey key = make_key(pass, operands, spec);
  const std::lock_guard lock(mutex);
  const cudnnHandle_t handle = Context::get().cudnn();
  auto found = plans.find(key);
  if (found == plans.end()) {
    if (plans.size() >= most) plans.clear();
    found = plans.emplace(key, choose(handle, key)).first;
  }
  if (!found->second) return false;
  check(found->second->run(handle, operands), name(pass));
  return true;
}

}  // namespace gradus::cuda
