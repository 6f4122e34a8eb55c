// What the files of the cache are made of: numbers and texts one after another, and a checksum that tells damage.
// Internal to data.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace gradus {

constexpr uint64_t largest_text = 1 << 24;

/// Four lanes of multiply and rotate over 32 bytes at a time: it tells damage at the speed of memory.
class Checksum {
 public:
  void update(const void* data, size_t size) {
    const char* bytes = static_cast<const char*>(data);
    for (; size >= 32; bytes += 32, size -= 32) mix(bytes);
    char rest[32] = {};
    if (size > 0) std::memcpy(rest, bytes, size);
    mix(rest);
    lanes_[0] += size;
  }
  uint64_t value() const {
    uint64_t all = 0;
    for (uint64_t lane : lanes_) all = std::rotl(all ^ lane, 29) * prime;
    return all ^ all >> 32;
  }

 private:
  void mix(const char* bytes) {
    for (uint64_t& lane : lanes_) {
      uint64_t word;
      std::memcpy(&word, bytes, 8);
      bytes += 8;
      lane = std::rotl((lane ^ word) * prime, 31);
    }
  }

  static constexpr uint64_t prime = 0x9E3779B185EBCA87;
  uint64_t lanes_[4] = {1, 2, 3, 4};
};

class FieldWriter {
 public:
  void add(int64_t value) { bytes_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void add(const std::string& value) {
    add(static_cast<int64_t>(value.size()));
    bytes_ += value;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

/// What a damaged or foreign file throws; never leaves this file.
struct Damaged {};

class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes) : bytes_(bytes) {}
  int64_t integer(int64_t largest) {
    int64_t value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    if (value < 0 || value > largest) throw Damaged();
    return value;
  }
  /// Of things that take at least so many bytes each, all of which must still come.
  size_t count(size_t least_bytes) {
    return static_cast<size_t>(integer(static_cast<int64_t>(bytes_.size() / least_bytes)));
  }
  std::string string() { return std::string(take(static_cast<size_t>(integer(largest_text)))); }

 private:
  std::string_view take(size_t size) {
    if (size > bytes_.size()) throw Damaged();
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }
  std::string_view bytes_;
};

}  // namespace gradus
