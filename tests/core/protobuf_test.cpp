#include "core/protobuf.h"

#include <doctest/doctest.h>

#include <vector>

using gradus::protobuf::Message;

TEST_CASE("fields have the bytes of the protocol buffers' encoding guide") {
  CHECK(Message().integer(1, 150).bytes() == "\x08\x96\x01");
  CHECK(Message().bytes(2, "testing").bytes() == "\x12\x07testing");
  CHECK(Message().message(3, Message().integer(1, 150)).bytes() == "\x1a\x03\x08\x96\x01");
}

TEST_CASE("numbers are little-endian; negative integers take ten bytes; fields above 15 take a key of two") {
  CHECK(Message().float32(2, 0.5f).bytes() == std::string("\x15\0\0\0\x3f", 5));
  CHECK(Message().float64(1, 1.0).bytes() == std::string("\x09\0\0\0\0\0\0\xf0\x3f", 9));
  CHECK(Message().integer(1, -1).bytes() == "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
  CHECK(Message().integer(20, 1).bytes() == "\xa0\x01\x01");
  const std::vector<double> two = {0, 1};
  CHECK(Message().float64s(6, two).bytes() == std::string("\x32\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xf0\x3f", 18));
}
