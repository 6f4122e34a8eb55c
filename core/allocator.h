// Reference-counted memory of the device, served from a cache of freed blocks, and counters of its use.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace gradus {

/// Memory for work that is repeated at the same places: what is allocated through it serves nobody else before it is
/// destroyed, not even when it is free.
class MemoryArena {
 public:
  MemoryArena();
  ~MemoryArena();
  MemoryArena(const MemoryArena&) = delete;
  MemoryArena& operator=(const MemoryArena&) = delete;

  /// While one lives, allocations of this thread go through the arena.
  class Use {
   public:
    explicit Use(MemoryArena& arena);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    MemoryArena* outer_;
  };

 private:
  friend class CachingAllocator;
  struct Blocks;
  std::unique_ptr<Blocks> blocks_;
};

/// While one lives, memory that this thread gives back serves nobody else: for work that runs side by side.
class HeldMemory {
 public:
  HeldMemory();
  ~HeldMemory();
  /// Of what was given back.
  size_t bytes() const;
  HeldMemory(const HeldMemory&) = delete;
  HeldMemory& operator=(const HeldMemory&) = delete;

 private:
  friend class CachingAllocator;
  struct Blocks;
  std::unique_ptr<Blocks> blocks_;
  HeldMemory* outer_;
};

/// A shared handle to one block of device memory, aligned to 64 bytes. Copies share the block; the last handle returns
/// it to the cache. The version counts in-place writes, so that autograd can tell when a saved tensor was changed.
class Storage {
 public:
  /// What work on the side stream, that of core/cuda/side_stream.h, does with it until finish_side_stream().
  enum class Pending : uint8_t { nothing, reads, writes };

  Storage() = default;
  /// Uninitialized memory.
  static Storage allocate(size_t bytes);
  /// Wraps memory that someone else owns and that outlives every handle.
  static Storage borrow(void* data, size_t bytes);

  Storage(const Storage& other) noexcept : block_(other.block_) { retain(); }
  Storage(Storage&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  Storage& operator=(Storage other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~Storage() { release(); }

  explicit operator bool() const { return block_ != nullptr; }
  /// What is given to the device from now on comes after the side stream's work where that writes the memory.
  void* data() const {
    if (!block_) return nullptr;
    if (block_->pending.load(std::memory_order_relaxed) == Pending::writes ||
        capturing_.load(std::memory_order_relaxed)) [[unlikely]]
      accessed();
    return block_->data;
  }
  /// While work is captured, data() notes whose memory it uses.
  static void set_capturing(bool capturing) { capturing_.store(capturing, std::memory_order_relaxed); }
  /// Whether captured work uses it, which waits for nobody when it is replayed.
  bool captured() const { return block_ && block_->captured.load(std::memory_order_relaxed); }
  void set_pending(Pending what) const {
    if (block_) block_->pending.store(what, std::memory_order_relaxed);
  }
  /// For those who will write it.
  void wait_for_readers() const {
    if (block_ && block_->pending.load(std::memory_order_relaxed) != Pending::nothing) finish_side_stream();
  }
  size_t bytes() const { return block_ ? block_->bytes : 0; }
  /// Whether this is the only handle.
  bool unique() const { return block_ && block_->references.load(std::memory_order_acquire) == 1; }
  uint64_t version() const { return block_ ? block_->version.load(std::memory_order_relaxed) : 0; }
  void bump_version() const {
    if (block_) block_->version.fetch_add(1, std::memory_order_relaxed);
  }
  friend bool operator==(const Storage& a, const Storage& b) { return a.block_ == b.block_; }

 private:
  friend class CachingAllocator;
  friend class MemoryArena;
  friend class HeldMemory;
  struct Block {
    std::atomic<uint32_t> references{1};
    bool owned = true;
    bool cached = true;  ///< by us when it is free; else by the device
    std::atomic<Pending> pending{Pending::nothing};
    std::atomic<bool> captured{false};
    uint16_t size_class = 0;
    std::atomic<uint64_t> version{0};
    void* data = nullptr;
    size_t bytes = 0;     ///< asked for
    size_t capacity = 0;  ///< held
    Block* next = nullptr;
    MemoryArena* arena = nullptr;  ///< that it belongs to
  };

  explicit Storage(Block* block) : block_(block) {}
  void retain() const noexcept {
    if (block_) block_->references.fetch_add(1, std::memory_order_relaxed);
  }
  void release() noexcept {
    if (block_ && block_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) give_back(block_);
  }
  /// Of the last handle.
  static void give_back(Block* block) noexcept;
  static void finish_side_stream();
  void accessed() const;

  static inline std::atomic<bool> capturing_{false};
  Block* block_ = nullptr;
};

struct MemoryStatistics {
  size_t in_use = 0;    ///< bytes held by live storages
  size_t peak = 0;      ///< largest in_use so far
  size_t reserved = 0;  ///< bytes taken from the device, in use or cached here
};
MemoryStatistics memory_statistics();
/// Gives cached blocks back to the device.
void release_cached_memory();

}  // namespace gradus
