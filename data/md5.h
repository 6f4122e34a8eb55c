// The MD5 digest (RFC 1321): data sets are published with it, and it names the content of one in logs. Not for
// security.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

namespace gradus {

/// Takes bytes piece by piece.
class Md5 {
 public:
  void update(std::span<const uint8_t> bytes);
  /// 32 hexadecimal digits of everything given so far; nothing may be added afterwards.
  std::string hex_digest();

 private:
  void compress(const uint8_t* block);

  std::array<uint32_t, 4> state_{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  std::array<uint8_t, 64> pending_{};
  uint64_t length_ = 0;
};

std::string md5_hex(std::span<const uint8_t> bytes);
/// Of a file's content, read in pieces. Throws ErrorKind::io naming the file.
std::string md5_of_file(const std::string& path);

}  // namespace gradus
