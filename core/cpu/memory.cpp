// Memory of the CPU, in huge pages wherever that is possible: large blocks from one heap, middling ones from slabs.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/kernels.h"

namespace gradus::device {

namespace {

// 2 MiB on x86-64 and on AArch64 with 4 KiB pages. Streaming kernels meet fewer TLB misses.
constexpr size_t huge_page = size_t{2} << 20;
constexpr size_t large = 2 * huge_page, middling = large / 64;

size_t round_up(size_t bytes, size_t step) { return (bytes + step - 1) / step * step; }

/// A hint: its failure changes speed only.
void ask_for_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes) {
#ifdef MADV_HUGEPAGE
  madvise(data, bytes, MADV_HUGEPAGE);
#endif
}

[[noreturn]] void fail_for_want_of(size_t bytes) {
  fail(ErrorKind::device, "allocate", "no memory for ", bytes, " bytes; use a smaller batch or model");
}

void* aligned_memory(size_t alignment, size_t bytes) {
  void* data = nullptr;
  if (posix_memalign(&data, alignment, bytes) != 0) fail_for_want_of(bytes);
  if (alignment == huge_page) ask_for_huge_pages(data, bytes);
  return data;
}

/// Large blocks, one beside the other in a range of addresses as wide as the machine's memory. What is given back joins
/// the free neighbors and serves blocks of any size: activations of a step's first layers lie where those of its last
/// ones lay. Pages that were touched stay, so that steps which repeat take none from the system.
class Heap {
 public:
  static Heap& instance() {
    static Heap* heap = new Heap;  // outlives every static tensor
    return *heap;
  }

  /// Null where the range is full.
  void* take(size_t bytes) {
    bytes = round_up(bytes, step);
    const std::lock_guard lock(mutex_);
    free_.reserve(++blocks_ + 1);  // so that give_back() allocates nothing
    auto best = free_.end();
    for (auto range = free_.begin(); range != free_.end(); ++range)
      if (range->bytes >= bytes && (best == free_.end() || range->bytes < best->bytes)) best = range;
    if (best == free_.end() && !extend(bytes)) return --blocks_, nullptr;
    if (best == free_.end()) best = free_.end() - 1;
    char* data = best->data;
    *best = {data + bytes, best->bytes - bytes};
    if (best->bytes == 0) free_.erase(best);
    return data;
  }

  /// False where it is not the heap's.
  bool give_back(void* data, size_t bytes) noexcept {
    const Range range{static_cast<char*>(data), round_up(bytes, step)};
    const std::lock_guard lock(mutex_);
    if (range.data < begin_ || range.data >= end_) return false;
    --blocks_;
    insert(range);
    return true;
  }

  /// Gives the pages of what is free back to the system.
  void trim() noexcept {
    const std::lock_guard lock(mutex_);
    for (const Range& range : free_) madvise(range.data, range.bytes, MADV_DONTNEED);
  }

 private:
  struct Range {
    char* data;
    size_t bytes;
    char* end() const { return data + bytes; }
  };
  static constexpr size_t step = size_t{64} << 10;

  Heap() {
    size_t bytes = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
    // Less where a limit says so; none below what a training could use.
    for (; bytes >= 64 * large; bytes /= 2) {
      bytes = round_up(bytes, huge_page);
      void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (data == MAP_FAILED) continue;
      ask_for_huge_pages(data, bytes);
      begin_ = top_ = static_cast<char*>(data);
      end_ = begin_ + bytes;
      return;
    }
  }

  /// Makes the last free range `bytes` long or longer.
  bool extend(size_t bytes) {
    const size_t there = !free_.empty() && free_.back().end() == top_ ? free_.back().bytes : 0;
    if (bytes - there > static_cast<size_t>(end_ - top_)) return false;
    char* from = std::exchange(top_, top_ + (bytes - there));
    insert({from, bytes - there});
    return true;
  }

  void insert(Range range) noexcept {
    auto next = std::lower_bound(free_.begin(), free_.end(), range,
                                 [](const Range& a, const Range& b) { return a.data < b.data; });
    if (next != free_.begin() && (next - 1)->end() == range.data) {
      --next;
      next->bytes += range.bytes;
    } else {
      next = free_.insert(next, range);
    }
    if (next + 1 != free_.end() && next->end() == (next + 1)->data) {
      next->bytes += (next + 1)->bytes;
      free_.erase(next + 1);
    }
  }

  std::mutex mutex_;
  char *begin_ = nullptr, *top_ = nullptr, *end_ = nullptr;  // nothing beyond the top was ever taken
  std::vector<Range> free_;                                  // by place; no two of them touch
  size_t blocks_ = 0;                                        // taken
};

/// Blocks of middling size, such as weights and their gradients, are cut from slabs in huge pages; returned ones
/// serve the next of their size. The pages of those that nobody takes, because sizes change from step to step, go back
/// to the system once they are twice as many as were ever in use.
class Slabs {
 public:
  static Slabs& instance() {
    static Slabs* slabs = new Slabs;  // outlives every static tensor
    return *slabs;
  }

  void* take(size_t bytes) {
    bytes = rounded(bytes);
    const std::lock_guard lock(mutex_);
    void* data = place(bytes);
    in_use_ += bytes;
    peak_ = std::max(peak_, in_use_);
    return data;
  }

  void give_back(void* data, size_t bytes) noexcept {
    bytes = rounded(bytes);
    const std::lock_guard lock(mutex_);
    sizes_.find(bytes)->second.free.push_back(static_cast<char*>(data));
    in_use_ -= bytes;
    idle_ += bytes;
    if (idle_ > 2 * std::max(peak_, slab)) drop_pages();
  }

  /// Gives the pages of what is free back to the system.
  void trim() noexcept {
    const std::lock_guard lock(mutex_);
    drop_pages();
  }

 private:
  struct Size {
    size_t blocks = 0;
    std::vector<char*> free;
    size_t without_pages = 0;  // the first of them
  };
  static constexpr size_t slab = 8 * large;

  /// From the system, which gives no page before it is touched.
  static char* new_slab() {
    void* data = mmap(nullptr, slab + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) fail_for_want_of(slab);
    char* aligned = static_cast<char*>(data) + (huge_page - reinterpret_cast<uintptr_t>(data) % huge_page);
    ask_for_huge_pages(aligned, slab);
    return aligned;
  }

  /// Eight sizes per power of two.
  static size_t rounded(size_t bytes) { return round_up(bytes, std::bit_floor(bytes) / 8); }

  void* place(size_t bytes) {
    Size& size = sizes_[bytes];
    if (!size.free.empty()) {
      char* data = size.free.back();
      size.free.pop_back();
      if (size.without_pages > size.free.size())
        --size.without_pages;
      else
        idle_ -= bytes;
      return data;
    }
    size.free.reserve(size.blocks + 1);  // so that give_back() allocates nothing
    if (static_cast<size_t>(end_ - next_) < bytes) {
      next_ = new_slab();
      end_ = next_ + slab;
    }
    ++size.blocks;
    return std::exchange(next_, next_ + bytes);
  }

  /// Of whole pages within the blocks.
  void drop_pages() noexcept {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    for (auto& [bytes, size] : sizes_)
      for (; size.without_pages < size.free.size(); ++size.without_pages) {
        char* data = size.free[size.without_pages];
        const size_t before = (page - reinterpret_cast<uintptr_t>(data) % page) % page;
        madvise(data + before, (bytes - before) / page * page, MADV_DONTNEED);
      }
    idle_ = 0;
  }

  std::mutex mutex_;
  std::map<size_t, Size> sizes_;
  char *next_ = nullptr, *end_ = nullptr;
  size_t in_use_ = 0, peak_ = 0, idle_ = 0;  // bytes; idle: free, and with pages
};

}  // namespace

bool keeps_released(size_t bytes) { return bytes >= middling; }

void* allocate(size_t bytes) {
  if (bytes >= large) {
    if (bytes > SIZE_MAX / 2) bytes = SIZE_MAX / 2;  // no machine has it, and roundings must not overflow
    if (void* data = Heap::instance().take(bytes)) return data;
    return aligned_memory(huge_page, bytes);
  }
  if (bytes >= middling) return Slabs::instance().take(bytes);
  return aligned_memory(64, bytes > 0 ? bytes : 1);
}

void release(void* data, size_t bytes) noexcept {
  if (bytes >= middling && bytes < large) return Slabs::instance().give_back(data, bytes);
  if (bytes < large || !Heap::instance().give_back(data, bytes)) std::free(data);
}

void trim() noexcept {
  Heap::instance().trim();
  Slabs::instance().trim();
}

}  // namespace gradus::device
