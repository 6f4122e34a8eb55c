// A caching allocator in one page. Freed blocks wait in a list per size class (multiples of 64 bytes up to 1 KiB, then
// eight classes per power of two), so that a training step, which asks for the same sizes again and again, takes no
// memory from the device after its first run. Sizes that the device itself keeps go straight back to it.
#include "core/allocator.h"

#include <array>
#include <bit>
#include <mutex>
#include <new>
#include <vector>

#include "core/kernels.h"

namespace gradus {

namespace {

constexpr size_t small_step = 64, small_limit = 1024, classes_per_octave = 8;
constexpr size_t class_count = small_limit / small_step + 1 + 54 * classes_per_octave;

struct SizeClass {
  uint16_t index;
  size_t capacity;
};

SizeClass size_class(size_t bytes) {
  if (bytes <= small_limit) {
    const size_t steps = bytes == 0 ? 1 : (bytes + small_step - 1) / small_step;
    return {static_cast<uint16_t>(steps), steps * small_step};
  }
  const size_t octave = std::bit_width(bytes - 1) - 1;  // 2^octave < bytes <= 2^(octave + 1)
  const size_t step = (size_t{1} << octave) / classes_per_octave;
  const size_t part = (bytes - (size_t{1} << octave) + step - 1) / step;  // 1 .. classes_per_octave
  const size_t index = small_limit / small_step + 1 + (octave - 10) * classes_per_octave + part - 1;
  return {static_cast<uint16_t>(index), (size_t{1} << octave) + part * step};
}

thread_local MemoryArena* current_arena = nullptr;
thread_local HeldMemory* current_hold = nullptr;

}  // namespace

struct MemoryArena::Blocks {
  std::array<Storage::Block*, class_count> free{};
  std::vector<Storage::Block*> all;
};

struct HeldMemory::Blocks {
  Storage::Block* first = nullptr;
  size_t bytes = 0;
};

class CachingAllocator {
 public:
  using Block = Storage::Block;

  static CachingAllocator& instance() {
    static CachingAllocator* allocator = new CachingAllocator;  // outlives every static Storage
    return *allocator;
  }

  Block* take(size_t bytes) {
    const bool cached = current_arena || !device::keeps_released(bytes);
    const SizeClass wanted = cached ? size_class(bytes) : SizeClass{0, bytes};
    Block* block = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (current_arena) block = pop(current_arena->blocks_->free, wanted);
      if (!block && cached) block = pop(free_, wanted);
      if (block) claim(block);
      statistics_.in_use += wanted.capacity;
      if (statistics_.in_use > statistics_.peak) statistics_.peak = statistics_.in_use;
    }
    if (!block) block = grow(wanted);
    block->cached = cached;
    block->references.store(1, std::memory_order_relaxed);
    block->version.store(0, std::memory_order_relaxed);
    block->captured.store(false, std::memory_order_relaxed);
    block->bytes = bytes;
    return block;
  }

  void give_back(Block* block) noexcept {
    if (current_hold) {
      block->next = std::exchange(current_hold->blocks_->first, block);
      current_hold->blocks_->bytes += block->capacity;
      return;
    }
    {
      const std::lock_guard lock(mutex_);
      statistics_.in_use -= block->capacity;
      if (block->cached) return push(block->arena ? block->arena->blocks_->free : free_, block);
      statistics_.reserved -= block->capacity;
    }
    device::release(block->data, block->capacity);
    delete block;
  }

  void give_back_all(HeldMemory::Blocks& held) noexcept {
    while (Block* block = held.first) {
      held.first = block->next;
      give_back(block);
    }
  }

  void release_cached() noexcept {
    const std::lock_guard lock(mutex_);
    for (Block*& head : free_)
      while (Block* block = head) {
        head = block->next;
        statistics_.reserved -= block->capacity;
        device::release(block->data, block->capacity);
        delete block;
      }
    device::trim();
  }

  void dissolve(MemoryArena::Blocks& arena) noexcept {
    const std::lock_guard lock(mutex_);
    for (Block* block : arena.all) block->arena = nullptr;  // those in use come back to everybody
    for (Block*& head : arena.free)
      while (Block* block = head) {
        head = block->next;
        push(free_, block);
      }
  }

  MemoryStatistics statistics() {
    const std::lock_guard lock(mutex_);
    return statistics_;
  }

 private:
  using Lists = std::array<Block*, class_count>;

  static Block* pop(Lists& lists, SizeClass wanted) {
    Block* block = lists[wanted.index];
    if (block) lists[wanted.index] = block->next;
    return block;
  }
  static void push(Lists& lists, Block* block) {
    block->next = lists[block->size_class];
    lists[block->size_class] = block;
  }
  /// Makes it the current arena's, where there is one.
  static void claim(Block* block) {
    if (!current_arena || block->arena) return;
    current_arena->blocks_->all.push_back(block);
    block->arena = current_arena;
  }

  Block* grow(SizeClass wanted) {
    void* data = nullptr;
    try {
      data = device::allocate(wanted.capacity);
    } catch (...) {
      release_cached();
      try {
        data = device::allocate(wanted.capacity);
      } catch (...) {
        const std::lock_guard lock(mutex_);
        statistics_.in_use -= wanted.capacity;
        throw;
      }
    }
    auto* block = new Block;
    block->data = data;
    block->capacity = wanted.capacity;
    block->size_class = wanted.index;
    const std::lock_guard lock(mutex_);
    claim(block);
    statistics_.reserved += wanted.capacity;
    return block;
  }

  std::mutex mutex_;
  Lists free_{};
  MemoryStatistics statistics_;
};

MemoryArena::MemoryArena() : blocks_(std::make_unique<Blocks>()) {}
MemoryArena::~MemoryArena() { CachingAllocator::instance().dissolve(*blocks_); }
MemoryArena::Use::Use(MemoryArena& arena) : outer_(std::exchange(current_arena, &arena)) {}
MemoryArena::Use::~Use() { current_arena = outer_; }

HeldMemory::HeldMemory() : blocks_(std::make_unique<Blocks>()), outer_(std::exchange(current_hold, this)) {}
HeldMemory::~HeldMemory() {
  current_hold = outer_;
  CachingAllocator::instance().give_back_all(*blocks_);
}

size_t HeldMemory::bytes() const { return blocks_->bytes; }

Storage Storage::allocate(size_t bytes) { return Storage(CachingAllocator::instance().take(bytes)); }

Storage Storage::borrow(void* data, size_t bytes) {
  auto* block = new Block;
  block->owned = false;
  block->data = data;
  block->bytes = bytes;
  return Storage(block);
}

void Storage::give_back(Block* block) noexcept {
  if (block->owned)
    CachingAllocator::instance().give_back(block);
  else
    delete block;
}

void Storage::finish_side_stream() { device::finish_side_stream(); }

void Storage::accessed() const {
  if (block_->pending.load(std::memory_order_relaxed) == Pending::writes) finish_side_stream();
  if (capturing_.load(std::memory_order_relaxed)) block_->captured.store(true, std::memory_order_relaxed);
}

MemoryStatistics memory_statistics() { return CachingAllocator::instance().statistics(); }
void release_cached_memory() { CachingAllocator::instance().release_cached(); }

}  // namespace gradus
