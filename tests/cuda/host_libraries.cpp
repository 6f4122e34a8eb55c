// What core/cuda asks of cuBLAS, cuDNN and the runtime, by plain loops on the host. With it the GPU's kernels, compiled
// as C++, run the library's tests where there is no GPU.
#include <atomic>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "core/cuda/conv_plan.h"
#include "core/cuda/element.h"
#include "core/cuda/gemm.h"
#include "core/cuda/launch.h"
#include "core/cuda/side_stream.h"
#include "core/error.h"
#include "core/kernels.h"

namespace gradus::device {

const char* name() { return "cuda"; }
void synchronize() {
  cuda::check_not_recording("synchronize");
  finish_side_stream();
}

}  // namespace gradus::device

namespace gradus::cuda {

size_t most_shared() { return size_t{227} << 10; }  // as much as an H200 has

void zero_bytes(void* to, size_t bytes) {
  do_or_record([=] { std::memset(to, 0, bytes); });
}
void copy_bytes(void* to, const void* from, size_t bytes) {
  do_or_record([=] { std::memcpy(to, from, bytes); });
}

namespace {

/// BLAS's convention: element (i, j) of a column-major matrix, transposed or not.
double at(const void* data, DType dtype, int64_t leading, bool transposed, int64_t i, int64_t j) {
  return load<double>(data, dtype, transposed ? j + i * leading : i + j * leading);
}

void multiply(const Gemm& p) {
  // As gemm.cpp asks cuBLAS: c^T = b^T a^T, an n x m matrix by columns.
  for (int64_t batch = 0; batch < p.batch; ++batch) {
    const auto matrix = [&](const Matrix& m, DType dtype) {
      return static_cast<char*>(m.data) + batch * m.batch_stride * static_cast<int64_t>(size_of(dtype));
    };
    char *first = matrix(p.b, p.dtype), *second = matrix(p.a, p.dtype), *result = matrix(p.c, p.result);
    for (int64_t j = 0; j < p.m; ++j)
      for (int64_t i = 0; i < p.n; ++i) {
        double sum = 0;
        for (int64_t k = 0; k < p.k; ++k)
          sum += at(first, p.dtype, p.b.leading, p.b.transposed, i, k) *
                 at(second, p.dtype, p.a.leading, p.a.transposed, k, j);
        const int64_t place = i + j * p.c.leading;
        const double before = p.beta == 0 ? 0 : p.beta * load<double>(result, p.result, place);
        store<double>(result, p.result, place, p.alpha * sum + before);
      }
  }
}

}  // namespace

void gemm(const Gemm& p) {
  do_or_record([=] { multiply(p); });
}

/// Refuses what cuDNN may refuse too, so that every way around is taken: a bias or ReLU with an odd number of outputs,
/// unequal paddings, and several groups.
bool library_conv(ConvPass pass, const ConvOperands& o, const Conv2dSpec& spec) {
  for (const Tensor* x : {&o.x, &o.w, &o.y})
    if (!x->is_channels_last() || reinterpret_cast<uintptr_t>(x->raw()) % 16 != 0)
      fail(ErrorKind::backend, name(pass), "cuDNN's operands are channels-last and aligned");
  const bool unequal = spec.padding[0] != spec.padding[2] || spec.padding[1] != spec.padding[3];
  if (spec.groups > 1 || unequal || ((o.bias.defined() || o.relu) && o.w.shape()[0] % 2 != 0)) return false;
  plain_conv(pass, o, spec);
  return true;
}

}  // namespace gradus::cuda

/// As core/cuda/device.cpp: the CPU, whose memory is the device's here, would say otherwise.
bool gradus::device::has_fast(DType dtype) { return dtype == DType::float32 || dtype == DType::bfloat16; }

// A list of calls in place of a CUDA graph. Nothing of it runs before it is replayed, and it holds no memory of its
// own.
namespace gradus {
namespace {

std::vector<std::function<void()>> record, side;
std::vector<Storage> kept;
std::atomic<const int64_t*> steps = nullptr;
int64_t events = 0;

class Calls final : public Recording {
 public:
  Calls(std::vector<std::function<void()>> calls, std::vector<Storage> memory)
      : calls_(std::move(calls)), memory_(std::move(memory)) {}
  void replay() override {
    ++replays;
    ++events;
    for (const auto& call : calls_) call();
  }
  static inline int64_t replays = 0;

 private:
  std::vector<std::function<void()>> calls_;
  std::vector<Storage> memory_;
};

}  // namespace

const int64_t* cuda::recorded_steps() { return steps; }
int64_t cuda::recording_events() { return events; }
void cuda::keep_while_recorded(const Storage& memory) {
  if (steps) kept.push_back(memory);
}

/// What goes to the side stream runs as late as it may or, where the order is turned round, at once.
void cuda::begin_side_stream() { cuda::recorded = &side; }
void cuda::end_side_stream() {
  cuda::recorded = recorded_steps() ? &record : nullptr;
  if (order == Order::backward) join_side_stream();
}
void cuda::join_side_stream() {
  for (auto& call : std::exchange(side, {})) do_or_record(call);
}

namespace device {

bool can_record() { return true; }
void begin_recording(const int64_t* at) {
  finish_side_stream();
  record.clear();
  steps = at;
  ++events;
  cuda::recorded = &record;
}
std::unique_ptr<Recording> end_recording() {
  finish_side_stream();
  cuda::recorded = nullptr;
  steps = nullptr;
  ++events;
  return std::make_unique<Calls>(std::exchange(record, {}), std::exchange(kept, {}));
}

}  // namespace device
}  // namespace gradus

extern "C" int64_t gradus_cuda_on_host_replays() { return gradus::Calls::replays; }

/// How many kernels were started: shows that these kernels are the ones in use.
extern "C" int64_t gradus_cuda_on_host_launches() { return gradus::cuda::launches; }
extern "C" void gradus_cuda_on_host_reverse(bool reversed) {
  gradus::cuda::order = reversed ? gradus::cuda::Order::backward : gradus::cuda::Order::forward;
}
