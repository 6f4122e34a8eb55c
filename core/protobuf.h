// Protocol buffers, as far as writing them goes: a message is its fields one after another, each a key and a value.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace gradus::protobuf {

/// A message under construction. Fields keep the order in which they were added; a field added twice is repeated.
class Message {
 public:
  /// int32, int64, bool, enum: a negative number takes its 64-bit two's complement.
  Message& integer(int field, int64_t value) {
    key(field, 0);
    varint(static_cast<uint64_t>(value));
    return *this;
  }
  Message& float32(int field, float value) {
    key(field, 5);
    little_endian(std::bit_cast<uint32_t>(value));
    return *this;
  }
  Message& float64(int field, double value) {
    key(field, 1);
    little_endian(std::bit_cast<uint64_t>(value));
    return *this;
  }
  Message& bytes(int field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& message(int field, const Message& value) { return bytes(field, value.bytes_); }
  /// A packed repeated field.
  Message& float64s(int field, std::span<const double> values) {
    Message packed;
    for (double value : values) packed.little_endian(std::bit_cast<uint64_t>(value));
    return message(field, packed);
  }

  const std::string& bytes() const { return bytes_; }

 private:
  void key(int field, int wire_type) { varint(static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(wire_type)); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  template <class Unsigned>
  void little_endian(Unsigned value) {
    for (size_t i = 0; i < sizeof value; ++i) bytes_ += static_cast<char>(value >> 8 * i);
  }

  std::string bytes_;
};

}  // namespace gradus::protobuf
