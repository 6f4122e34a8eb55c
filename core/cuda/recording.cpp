// Work that is recorded and replayed as a CUDA graph: what goes to the one stream between two calls is captured.
#include <atomic>
#include <utility>
#include <vector>

#include "core/cuda/context.h"
#include "core/cuda/launch.h"
#include "core/cuda/side_stream.h"
#include "core/error.h"
#include "core/kernels.h"

namespace gradus {
namespace cuda {
namespace {

std::atomic<const int64_t*> steps = nullptr;  // read by every thread
int64_t events = 0;
std::vector<Storage> kept;

class Graph final : public Recording {
 public:
  Graph(cudaGraph_t graph, std::vector<Storage> memory) : memory_(std::move(memory)) {
    check(cudaGraphInstantiate(&graph_, graph, 0), "making a graph of captured work");
  }
  ~Graph() override {
    cudaStreamSynchronize(Context::get().stream());  // a replay may be under way
    cudaGraphExecDestroy(graph_);
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void replay() override {
    ++events;
    check(cudaGraphLaunch(graph_, Context::get().stream()), "replaying captured work");
  }

 private:
  cudaGraphExec_t graph_ = nullptr;
  std::vector<Storage> memory_;
};

}  // namespace

const int64_t* recorded_steps() { return steps; }
int64_t recording_events() { return events; }

void keep_while_recorded(const Storage& memory) {
  if (recorded_steps()) kept.push_back(memory);
}

void begin_side_stream() {
  Context::get().fork();
  Context::use_side_stream(true);
}
void end_side_stream() { Context::use_side_stream(false); }
void join_side_stream() { Context::get().join(); }

}  // namespace cuda

namespace device {

bool can_record() { return true; }

void begin_recording(const int64_t* at) {
  finish_side_stream();  // a capture cannot wait for what is not part of it
  // Relaxed: memory that the cache lacks may be taken from the driver meanwhile.
  cuda::check(cudaStreamBeginCapture(cuda::Context::get().stream(), cudaStreamCaptureModeRelaxed), "capturing work");
  cuda::steps = at;
  ++cuda::events;
}

std::unique_ptr<Recording> end_recording() {
  bool joined = true;
  try {
    finish_side_stream();
  } catch (const Error&) {
    joined = false;  // the capture is lost, and must end all the same
  }
  cuda::steps = nullptr;
  ++cuda::events;
  std::vector<Storage> memory = std::exchange(cuda::kept, {});
  cudaGraph_t graph = nullptr;
  const cudaError_t status = cudaStreamEndCapture(cuda::Context::get().stream(), &graph);
  const std::unique_ptr<CUgraph_st, decltype(&cudaGraphDestroy)> owned(graph, cudaGraphDestroy);
  if (status != cudaSuccess) cudaGetLastError();
  if (!joined) finish_side_stream();  // now outside of it
  if (status != cudaSuccess || !graph || !joined) return nullptr;
  return std::make_unique<cuda::Graph>(graph, std::move(memory));
}

}  // namespace device
}  // namespace gradus
