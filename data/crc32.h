// The checksum of gzip and of PNG's chunks (RFC 1952, section 8). Internal to data.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace gradus {

class Crc32 {
 public:
  void update(std::span<const uint8_t> bytes) {
    const uint8_t* at = bytes.data();
    size_t left = bytes.size();
    for (; left >= 8; at += 8, left -= 8) {  // eight bytes at a time: a table for each place
      uint32_t next = 0;
      for (size_t i = 0; i < 4; ++i)
        next ^= tables[7 - i][at[i] ^ (state_ >> (8 * i) & 0xff)] ^ tables[3 - i][at[4 + i]];
      state_ = next;
    }
    for (; left > 0; ++at, --left) state_ = state_ >> 8 ^ tables[0][(state_ ^ *at) & 0xff];
  }
  uint32_t value() const { return ~state_; }

 private:
  using Tables = std::array<std::array<uint32_t, 256>, 8>;
  /// tables[k][b]: what byte b, with k zero bytes behind it, adds to the state.
  static constexpr Tables tables = [] {
    Tables all{};
    for (uint32_t b = 0; b < 256; ++b) {
      uint32_t state = b;
      for (int bit = 0; bit < 8; ++bit) state = state >> 1 ^ (state & 1 ? 0xedb88320 : 0);
      all[0][b] = state;
    }
    for (size_t k = 1; k < 8; ++k)
      for (size_t b = 0; b < 256; ++b) all[k][b] = all[k - 1][b] >> 8 ^ all[0][all[k - 1][b] & 0xff];
    return all;
  }();

  uint32_t state_ = ~uint32_t{0};
};

}  // namespace gradus
