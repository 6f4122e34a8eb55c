// The CPU as a device: aligned memory with huge-page hints, plain copies, and a line that says what it is.
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/cpu/isa.h"
#include "core/cpu/onednn.h"
#include "core/error.h"
#include "core/kernels.h"
#include "core/parallel.h"

namespace gradus::device {

namespace {

// Blocks of several huge pages start on one: fewer TLB misses in streaming kernels. 2 MiB on x86-64 and on AArch64 with
// 4 KiB pages.
constexpr size_t huge_page = size_t{2} << 20;
constexpr size_t large = 2 * huge_page, middling = large / 64;

void* aligned_memory(size_t alignment, size_t bytes) {
  void* data = nullptr;
  if (posix_memalign(&data, alignment, bytes) != 0)
    fail(ErrorKind::device, "allocate", "no memory for ", bytes, " bytes; use a smaller batch or model");
#ifdef MADV_HUGEPAGE
  if (alignment == huge_page) madvise(data, bytes, MADV_HUGEPAGE);  // a hint: its failure changes speed only
#endif
  return data;
}

/// Blocks of middling size, such as weights and their gradients, are cut from memory in huge pages; returned ones serve
/// the next of their size.
class Slabs {
 public:
  static Slabs& instance() {
    static Slabs* slabs = new Slabs;  // outlives every static tensor
    return *slabs;
  }

  void* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    Size& size = sizes_[bytes];
    if (!size.free.empty()) {
      void* data = size.free.back();
      size.free.pop_back();
      return data;
    }
    size.free.reserve(++size.blocks);  // so that give_back() allocates nothing
    const size_t step = (bytes + 63) / 64 * 64;
    if (static_cast<size_t>(end_ - next_) < step) {
      next_ = static_cast<char*>(aligned_memory(huge_page, slab));
      end_ = next_ + slab;
    }
    return std::exchange(next_, next_ + step);
  }

  void give_back(void* data, size_t bytes) noexcept {
    const std::lock_guard lock(mutex_);
    sizes_.find(bytes)->second.free.push_back(data);
  }

 private:
  struct Size {
    size_t blocks = 0;
    std::vector<void*> free;
  };
  static constexpr size_t slab = 8 * large;
  std::mutex mutex_;
  std::map<size_t, Size> sizes_;
  char *next_ = nullptr, *end_ = nullptr;
};

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

void* allocate(size_t bytes) {
  if (bytes >= middling && bytes < large) return Slabs::instance().take(bytes);
  return aligned_memory(bytes >= large ? huge_page : 64, bytes > 0 ? bytes : 1);
}

void release(void* data, size_t bytes) noexcept {
  if (bytes >= middling && bytes < large) return Slabs::instance().give_back(data, bytes);
  std::free(data);
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
void finish_beside() {}

}  // namespace gradus::device
