// THE SEAM between operations and devices. Exactly one of core/cpu and core/cuda defines gradus::kernels at link time,
// so a missing kernel is a link error; core/ref defines the same functions in gradus::ref, plainly, for float32 and
// float64, as the oracle and as the host's float64 path.
//
// bfloat16 is for activations and their gradients: kernels compute in float32 and round what they return. Parameters
// and statistics beside them, and the gradients of parameters, are float32; a convolution rounds its weight as it reads
// it.
//
// Contract of every kernel: arguments are already checked, outputs already allocated with the right shape and dtype
// (see core/ops_*.cpp), inputs and outputs may have any strides (inputs also stride 0, from broadcasting), and outputs
// overlap no input unless they are the very same view. A kernel checks nothing, allocates no tensor that outlives it
// and prints no message. Equal arguments and thread counts give equal bits.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/crop.h"
#include "core/random.h"
#include "core/specs.h"
#include "core/tensor.h"

namespace gradus {

/// Work that was recorded instead of done, and can be done any number of times: a CUDA graph.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void replay() = 0;
};

/// Memory and identity of the device that this library was built for.
namespace device {
const char* name();            ///< "cpu" or "cuda"
std::string describe();        ///< one line for logs: model, instruction set or driver, threads
void* allocate(size_t bytes);  ///< aligned to 64 bytes; throws ErrorKind::device when there is no memory
void release(void* data, size_t bytes) noexcept;
/// Whether release() keeps blocks of this size for whoever asks next: nobody else needs to. bytes is what was asked
/// for.
bool keeps_released(size_t bytes);
/// Gives what release() kept back to the system.
void trim() noexcept;
/// Whether convolutions and products of this floating dtype have instructions of their own here.
bool has_fast(DType dtype);
void upload(void* to_device, const void* from_host, size_t bytes);
void download(void* to_host, const void* from_device, size_t bytes);
void synchronize();
/// Whether work can be recorded: not on the CPU, where none of the four below is called.
bool can_record();
/// What is given to the device from now on is recorded, not done. Random keys that advance are later by *steps, which
/// lies on the device and is read by each replay.
void begin_recording(const int64_t* steps);
/// Null where the device lost the recording.
std::unique_ptr<Recording> end_recording();
/// What is given to the device from now on, recorded or done, comes after the work of the side stream
/// (Storage::Pending).
void finish_side_stream();
}  // namespace device

namespace kernels {
#include "core/kernels.inc"
}
namespace ref {
#include "core/kernels.inc"
}

}  // namespace gradus
