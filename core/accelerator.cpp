#include "core/accelerator.h"

#include <mutex>
#include <utility>

#include "core/kernels.h"
#include "core/step_graph.h"

namespace gradus {
namespace {

AcceleratorSettings settings;

std::mutex mutex;
std::function<void(const std::string&)> warning_handler;

}  // namespace

std::string_view device_name() { return device::name(); }
std::string describe_device() { return device::describe(); }
bool has_fast(DType dtype) { return device::has_fast(dtype); }
void finish_device() {
  check_not_capturing("finish_device");
  device::synchronize();
}

void set_accelerator(AcceleratorSettings chosen) { settings = std::move(chosen); }
const AcceleratorSettings& accelerator() { return settings; }

void set_warning_handler(std::function<void(const std::string&)> handler) {
  const std::lock_guard lock(mutex);
  warning_handler = std::move(handler);
}

void warn(const std::string& line) {
  const std::lock_guard lock(mutex);
  if (warning_handler) warning_handler(line);
}

}  // namespace gradus
