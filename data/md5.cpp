#include "data/md5.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/file.h"

namespace gradus {
namespace {

// T[i] = floor(2^32 |sin(i + 1)|), RFC 1321, section 3.4.
std::array<uint32_t, 64> sine_table() {
  std::array<uint32_t, 64> table;
  for (int i = 0; i < 64; ++i) table[i] = static_cast<uint32_t>(std::floor(std::fabs(std::sin(i + 1.0)) * 0x1p32));
  return table;
}

uint32_t little_endian(const uint8_t* bytes) {
  return static_cast<uint32_t>(bytes[0]) | static_cast<uint32_t>(bytes[1]) << 8 |
         static_cast<uint32_t>(bytes[2]) << 16 | static_cast<uint32_t>(bytes[3]) << 24;
}

}  // namespace

void Md5::compress(const uint8_t* block) {
  static const std::array<uint32_t, 64> sines = sine_table();
  constexpr int rotations[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
  uint32_t words[16];
  for (int i = 0; i < 16; ++i) words[i] = little_endian(block + 4 * i);
  auto [a, b, c, d] = state_;
  for (int i = 0; i < 64; ++i) {
    uint32_t mixed;
    int word;
    if (i < 16) {
      mixed = (b & c) | (~b & d);
      word = i;
    } else if (i < 32) {
      mixed = (b & d) | (c & ~d);
      word = (5 * i + 1) % 16;
    } else if (i < 48) {
      mixed = b ^ c ^ d;
      word = (3 * i + 5) % 16;
    } else {
      mixed = c ^ (b | ~d);
      word = 7 * i % 16;
    }
    const uint32_t next = b + std::rotl(a + mixed + words[word] + sines[i], rotations[i / 16][i % 4]);
    a = d;
    d = c;
    c = b;
    b = next;
  }
  state_ = {state_[0] + a, state_[1] + b, state_[2] + c, state_[3] + d};
}

void Md5::update(std::span<const uint8_t> bytes) {
  size_t held = length_ % 64;
  length_ += bytes.size();
  while (!bytes.empty()) {
    if (held == 0 && bytes.size() >= 64) {
      compress(bytes.data());
      bytes = bytes.subspan(64);
      continue;
    }
    const size_t taken = std::min(bytes.size(), 64 - held);
    std::memcpy(pending_.data() + held, bytes.data(), taken);
    bytes = bytes.subspan(taken);
    held = (held + taken) % 64;
    if (held == 0) compress(pending_.data());
  }
}

std::string Md5::hex_digest() {
  const uint64_t bits = length_ * 8;
  std::vector<uint8_t> padding((length_ % 64 < 56 ? 56 : 120) - length_ % 64);
  padding[0] = 0x80;
  for (int i = 0; i < 8; ++i) padding.push_back(static_cast<uint8_t>(bits >> (8 * i)));
  update(padding);
  std::string digest;
  for (uint32_t word : state_)
    for (int i = 0; i < 4; ++i, word >>= 8) {
      digest += "0123456789abcdef"[word >> 4 & 15];
      digest += "0123456789abcdef"[word & 15];
    }
  return digest;
}

std::string md5_hex(std::span<const uint8_t> bytes) {
  Md5 md5;
  md5.update(bytes);
  return md5.hex_digest();
}

std::string md5_of_file(const std::string& path) {
  FileReader file(path);
  Md5 md5;
  std::vector<uint8_t> piece(1 << 16);
  for (uint64_t left = file.size(); left > 0;) {
    const size_t taken = static_cast<size_t>(std::min<uint64_t>(left, piece.size()));
    file.read(piece.data(), taken);
    md5.update({piece.data(), taken});
    left -= taken;
  }
  return md5.hex_digest();
}

}  // namespace gradus
