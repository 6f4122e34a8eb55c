#include "data/md5.h"

#include <doctest/doctest.h>

#include <string>

using namespace gradus;

namespace {
std::span<const uint8_t> bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
}  // namespace

TEST_CASE("md5 gives the digests of RFC 1321, appendix A.5") {
  const std::string digits = "1234567890";
  std::string eighty;
  for (int i = 0; i < 8; ++i) eighty += digits;
  CHECK(md5_hex(bytes("")) == "d41d8cd98f00b204e9800998ecf8427e");
  CHECK(md5_hex(bytes("a")) == "0cc175b9c0f1b6a831c399e269772661");
  CHECK(md5_hex(bytes("abc")) == "900150983cd24fb0d6963f7d28e17f72");
  CHECK(md5_hex(bytes("message digest")) == "f96b697d7cb7938d525a2f31aaf161d0");
  CHECK(md5_hex(bytes("abcdefghijklmnopqrstuvwxyz")) == "c3fcd3d76192e4007dfb496cca67e13b");
  CHECK(md5_hex(bytes("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")) ==
        "d174ab98d277d9f5a5611c2c9f419d9f");
  CHECK(md5_hex(bytes(eighty)) == "57edf4a22be3c955ac49da2e2107b67a");
}

TEST_CASE("md5 does not depend on how the bytes were cut into pieces") {
  for (size_t length : {55u, 56u, 63u, 64u, 65u, 119u, 120u, 200u}) {
    const std::string all(length, 'x');
    for (size_t cut = 0; cut <= length; cut += 7) {
      Md5 md5;
      md5.update(bytes(all.substr(0, cut)));
      md5.update(bytes(all.substr(cut)));
      CHECK(md5.hex_digest() == md5_hex(bytes(all)));
    }
  }
}
