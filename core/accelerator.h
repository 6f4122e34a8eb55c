// How a GPU may compute: one setting for the whole process. The CPU has no such choices; core/convolution.h has one
// that both share.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "core/dtype.h"

namespace gradus {

/// What this library computes on: "cpu" or "cuda".
std::string_view device_name();
/// One line about it, such as its model; throws ErrorKind::device where it is not there.
std::string describe_device();
/// Whether the device has instructions of its own for convolutions and products of this floating dtype.
bool has_fast(DType dtype);
/// Returns when all work that was given to the device is done: for clocks. Reading a value waits by itself.
void finish_device();

struct AcceleratorSettings {
  /// float32 matrix products and convolutions on the tensor cores, which round their operands to 10 bits of mantissa.
  bool tf32 = false;
  /// Algorithms that may give other bits in an equal run.
  bool fast = false;
  /// Where convolutions' plans come from. "": the library's rule, equal in equal runs. "measure": the fastest of its
  /// proposals, timed at the first sight of a shape. Otherwise the name of a file of plans: those that it holds are
  /// used, others are measured and added to it.
  std::string plans = {};
  /// Work that repeats may be captured as a CUDA graph: see core/step_graph.h.
  bool graphs = true;
};

void set_accelerator(AcceleratorSettings settings);
/// Do not change the settings while another thread computes.
const AcceleratorSettings& accelerator();

/// Called with a line about something that the user should know and that is no error: by default nothing happens.
void set_warning_handler(std::function<void(const std::string&)> handler);
void warn(const std::string& line);

}  // namespace gradus
