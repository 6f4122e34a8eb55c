// Reference-counted memory of the device, served from a cache of freed blocks, and counters of its use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace gradus {

/// A shared handle to one block of device memory, aligned to 64 bytes. Copies share the block; the last handle returns
/// it to the cache. The version counts in-place writes, so that autograd can tell when a saved tensor was changed.
class Storage {
 public:
  Storage() = default;
  /// Uninitialised memory.
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
  void* data() const;
  size_t bytes() const;
  /// Whether this is the only handle.
  bool unique() const;
  uint64_t version() const;
  void bump_version() const;
  friend bool operator==(const Storage& a, const Storage& b) { return a.block_ == b.block_; }

 private:
  struct Block;
  friend class CachingAllocator;
  explicit Storage(Block* block) : block_(block) {}
  void retain() const noexcept;
  void release() noexcept;

  Block* block_ = nullptr;
};

struct MemoryStatistics {
  size_t in_use = 0;    ///< bytes held by live storages
  size_t peak = 0;      ///< largest in_use so far
  size_t reserved = 0;  ///< bytes taken from the device, in use or cached
};
MemoryStatistics memory_statistics();
/// Gives cached blocks back to the device.
void release_cached_memory();

}  // namespace gradus
