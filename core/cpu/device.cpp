// The CPU as a device: plain copies, and a line that says what it is.
#include <cstring>
#include <fstream>
#include <string>

#include "core/cpu/isa.h"
#include "core/cpu/onednn.h"
#include "core/error.h"
#include "core/kernels.h"
#include "core/parallel.h"

namespace gradus::device {

namespace {

std::string processor_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with("model name")) continue;
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

}  // namespace

const char* name() { return "cpu"; }

bool has_fast(DType dtype) {
  if (dtype == DType::bfloat16) return cpu::isa() == cpu::Isa::v4 && cpu::onednn::has_bfloat16();
  return dtype == DType::float32;
}

std::string describe() {
  return text("cpu: ", processor_model(), ", ", cpu::name(cpu::isa()), ", ", num_threads(),
              num_threads() == 1 ? " thread" : " threads");
}

void upload(void* to_device, const void* from_host, size_t bytes) {
  if (bytes > 0) std::memcpy(to_device, from_host, bytes);
}

void download(void* to_host, const void* from_device, size_t bytes) {
  if (bytes > 0) std::memcpy(to_host, from_device, bytes);
}

void synchronize() {}

// Calls cost a CPU nothing that repeating them at once would save.
bool can_record() { return false; }
void begin_recording(const int64_t*) {}
std::unique_ptr<Recording> end_recording() { return nullptr; }
void finish_side_stream() {}

}  // namespace gradus::device
