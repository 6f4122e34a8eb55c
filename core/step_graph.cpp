#include "core/step_graph.h"

#include <utility>

#include "core/accelerator.h"
#include "core/error.h"
#include "core/kernels.h"
#include "core/ops.h"

namespace gradus {
namespace {

thread_local bool in_body = false;

}  // namespace

bool capturing() { return in_body; }

void check_not_capturing(const char* op) {
  if (in_body)
    fail(ErrorKind::device, op, "reads a value from the device or sends it one, which captured work cannot repeat");
}

StepGraph::StepGraph() : arena_(std::make_unique<MemoryArena>()) {}
StepGraph::~StepGraph() = default;
StepGraph::StepGraph(StepGraph&&) noexcept = default;
StepGraph& StepGraph::operator=(StepGraph&&) noexcept = default;

bool StepGraph::possible() { return device::can_record() && accelerator().graphs; }

size_t StepGraph::capture(const std::function<void()>& body) {
  if (!possible())
    fail(ErrorKind::device, "capture", "this device captures no work: it is ",
         device_name() == "cpu" ? "a CPU" : "told not to");
  check_not_capturing("capture");
  if (!steps_.defined()) steps_ = Tensor::zeros({1}, DType::int64);
  const MemoryArena::Use use(*arena_);
  device::begin_recording(static_cast<const int64_t*>(steps_.raw()));
  const auto set_capturing = [](bool whether) {
    in_body = whether;
    Storage::set_capturing(whether);
  };
  set_capturing(true);
  try {
    body();
  } catch (...) {
    set_capturing(false);
    device::end_recording();
    throw;
  }
  set_capturing(false);
  std::unique_ptr<Recording> recording = device::end_recording();
  if (!recording) fail(ErrorKind::device, "capture", "the device could not capture this work");
  recordings_.push_back(std::move(recording));
  return recordings_.size() - 1;
}

void StepGraph::replay(size_t number, int64_t steps_later) {
  if (number >= recordings_.size())
    fail(ErrorKind::value, "replay", "capture ", number, " of ", recordings_.size(), " does not exist");
  fill_(steps_, static_cast<double>(steps_later));
  recordings_[number]->replay();
}

}  // namespace gradus
