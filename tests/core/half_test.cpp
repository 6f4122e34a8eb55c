// Half precision in files: every value of it beside arithmetic in double.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>

#include "core/npy.h"
#include "core/safetensors.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

/// IEEE 754: (-1)^sign times 1.fraction * 2^(exponent - 15), or 0.fraction * 2^-14 where the exponent is 0.
double value_of_half(unsigned bits) {
  const unsigned exponent = bits / 1024 % 32, fraction = bits % 1024;
  double value = exponent == 0 ? std::ldexp(fraction, -14 - 10)
                               : std::ldexp(1024 + fraction, static_cast<int>(exponent) - 15 - 10);
  if (exponent == 31) value = fraction == 0 ? HUGE_VAL : std::nan("");
  return std::copysign(value, bits < 0x8000 ? 1 : -1);
}

std::string every_half() {
  std::string bytes;
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    bytes += static_cast<char>(bits % 256);
    bytes += static_cast<char>(bits / 256);
  }
  return bytes;
}

std::string safetensors_file(const std::string& shape, const std::string& buffer) {
  std::string header =
      R"({"x":{"dtype":"F16","shape":)" + shape + R"(,"data_offsets":[0,)" + std::to_string(buffer.size()) + "]}}";
  return std::string(1, static_cast<char>(header.size())) + std::string(7, '\0') + header + buffer;
}

std::string npy_file(const std::string& shape, const std::string& order, const std::string& buffer) {
  const std::string header = "{'descr': '<f2', 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) + '\0' + header + buffer;
}

void check_every_half(const Tensor& read) {
  CHECK(read.dtype() == DType::float32);
  REQUIRE(read.shape() == Shape{256, 256});
  const std::vector<float> values = read.to_vector<float>();
  int nans = 0;
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const double expected = value_of_half(bits);
    const float found = values[bits];
    CAPTURE(bits);
    if (std::isnan(expected)) {
      ++nans;
      REQUIRE(std::isnan(found));
    } else {
      REQUIRE(static_cast<double>(found) == expected);
    }
    REQUIRE(std::signbit(found) == (bits >= 0x8000));
  }
  CHECK(nans == 2 * 1023);
}

}  // namespace

TEST_CASE("the oracle has half precision's landmarks") {
  CHECK(value_of_half(0x3c00) == 1);
  CHECK(value_of_half(0xc000) == -2);
  CHECK(value_of_half(0x7bff) == 65504);
  CHECK(value_of_half(0x0400) == 0x1p-14);
  CHECK(value_of_half(0x0001) == 0x1p-24);
  CHECK(value_of_half(0x3555) == 0.333251953125);
}

TEST_CASE("every half of a safetensors file becomes the float32 of its value") {
  const TemporaryFolder folder;
  const std::string path = folder.write("x", safetensors_file("[256,256]", every_half()));
  check_every_half(safetensors::load(path).tensors.at("x"));
}

TEST_CASE("every half of a .npy file becomes the float32 of its value, in either order") {
  const TemporaryFolder folder;
  check_every_half(load_npy(folder.write("x", npy_file("(256, 256)", "False", every_half()))));
  const Tensor columns =
      load_npy(folder.write("x", npy_file("(2, 2)", "True", std::string("\0\x3c\0\x40\0\x42\0\x44", 8))));
  CHECK(columns.to_vector<float>() == std::vector<float>{1, 3, 2, 4});
}

TEST_CASE("the payload of a NaN is kept") {
  const TemporaryFolder folder;
  const std::string path = folder.write("x", npy_file("(2,)", "False", "\x01\x7e\x05\xfd"));
  const std::vector<char> bytes = load_npy(path).to_bytes();
  CHECK(std::string(bytes.begin(), bytes.end()) == std::string("\x00\x20\xc0\x7f\x00\xa0\xa0\xff", 8));
}

TEST_CASE("halves of no elements and of rank 0 are read, and half of one is not") {
  const TemporaryFolder folder;
  CHECK(safetensors::load(folder.write("x", safetensors_file("[0,3]", ""))).tensors.at("x").shape() == Shape{0, 3});
  CHECK(load_npy(folder.write("x", npy_file("()", "False", std::string("\0\x3e", 2)))).item() == 1.5);
  std::string cut = safetensors_file("[2]", "1234");
  cut.pop_back();
  CHECK(contains(error_of([&] { safetensors::load(folder.write("x", cut)); }), "the file was cut short"));
  CHECK(contains(error_of([&] { load_npy(folder.write("x", npy_file("(2,)", "False", "123"))); }), "was cut short"));
}
