#include "core/tensor.h"

#include <doctest/doctest.h>

#include <limits>
#include <sstream>

#include "core/error.h"
#include "core/ops.h"

using namespace gradus;

TEST_CASE("values go in and come out in row-major order") {
  const Tensor t = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  CHECK(t.to_vector<float>() == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK(t.size(-1) == 3);
  CHECK(t.is_contiguous());
}

TEST_CASE("a strided view reads back in its logical order") {
  const Tensor t = Tensor::from<int64_t>({0, 1, 2, 3, 4, 5}, {2, 3});
  const Tensor transposed(t.storage(), 0, {3, 2}, {1, 3}, t.dtype());
  CHECK(transposed.to_vector<int64_t>() == std::vector<int64_t>{0, 3, 1, 4, 2, 5});
  CHECK_FALSE(transposed.is_contiguous());
  CHECK(transposed.is_dense());
}

TEST_CASE("a channels-last tensor is dense but not contiguous") {
  const Tensor t = Tensor::empty({2, 3, 4, 5}, DType::float32, Layout::channels_last);
  CHECK(t.is_channels_last());
  CHECK(t.is_dense());
  CHECK_FALSE(t.is_contiguous());
  CHECK(Tensor::empty_like(t).is_channels_last());
}

TEST_CASE("gaps and broadcast views are not dense") {
  const Tensor t = Tensor::zeros({4, 6});
  CHECK_FALSE(Tensor(t.storage(), 0, {4, 3}, {6, 2}, t.dtype()).is_dense());
  CHECK_FALSE(Tensor(t.storage(), 0, {4, 6}, {0, 1}, t.dtype()).is_dense());
  CHECK(Tensor::empty_like(Tensor(t.storage(), 0, {4, 6}, {0, 1}, t.dtype())).is_contiguous());
}

TEST_CASE("extents of one do not matter to the layout") {
  const Tensor t = Tensor::zeros({3, 1, 2});
  CHECK(Tensor(t.storage(), 0, {3, 1, 2}, {2, 77, 1}, t.dtype()).is_contiguous());
  CHECK(Tensor::zeros({2, 1, 1, 1}).is_channels_last());
}

TEST_CASE("eye, arange, full and zeros hold what their names say") {
  CHECK(Tensor::eye(2).to_vector<float>() == std::vector<float>{1, 0, 0, 1});
  CHECK(Tensor::arange(3, DType::float64).to_vector<double>() == std::vector<double>{0, 1, 2});
  CHECK(Tensor::full({2}, 2.5, DType::float64).to_vector<double>() == std::vector<double>{2.5, 2.5});
  CHECK(Tensor::zeros({0, 3}).to_vector<float>().empty());
}

TEST_CASE("item reads any dtype") {
  CHECK(Tensor::from<uint8_t>({200}, {1}).item() == 200);
  CHECK(Tensor::from<int32_t>({-3}, {}).item() == -3);
  CHECK(Tensor::full({1, 1}, 0.5, DType::bfloat16).item() == 0.5);
  CHECK_THROWS_WITH_AS(Tensor::zeros({2}).item(), "[item] needs a tensor of one element, got [2]", Error);
}

TEST_CASE("the wrong element type and the wrong count are refused") {
  const Tensor t = Tensor::zeros({2});
  CHECK_THROWS_WITH_AS(t.data<double>(), "[data] the elements are float32, but float64 was asked for", Error);
  CHECK_THROWS_WITH_AS(t.to_vector<int64_t>(),
                       "[to_vector] the elements are float32, but int64 was asked for: cast(x, dtype) converts", Error);
  CHECK_THROWS_WITH_AS(Tensor::from<float>({1, 2, 3}, {2, 2}), "[from] shape [2,2] needs 4 values, got 3", Error);
  CHECK_THROWS_WITH_AS(Tensor::zeros({2, -1}), "[tensor] extents must not be negative, got [2,-1]", Error);
}

TEST_CASE("copies share memory and its version") {
  const Tensor a = Tensor::zeros({3});
  const Tensor b = a;
  CHECK(a.storage() == b.storage());
  b.bump_version();
  CHECK(a.version() == b.version());
}

TEST_CASE("bfloat16 rounds to nearest even and keeps NaN") {
  CHECK(static_cast<float>(bfloat16(1.0f)) == 1.0f);
  CHECK(static_cast<float>(bfloat16(1.00390625f)) == 1.0f);       // halfway: to the even neighbor
  CHECK(static_cast<float>(bfloat16(1.01171875f)) == 1.015625f);  // halfway: up, to the even neighbor
  CHECK(static_cast<float>(bfloat16(std::numeric_limits<float>::quiet_NaN())) !=
        static_cast<float>(bfloat16(std::numeric_limits<float>::quiet_NaN())));
}

TEST_CASE("printing shows dtype, shape and values") {
  std::ostringstream out;
  out << Tensor::from<int64_t>({1, 2, 3, 4}, {2, 2});
  CHECK(out.str() == "int64 [2,2]\n  1 2\n  3 4");
  out.str("");
  out << Tensor::from<int64_t>({16777217, -9007199254740993}, {2});
  CHECK(out.str() == "int64 [2]\n  16777217 -9007199254740993");
}

TEST_CASE("bytes are row-major whatever the layout, and come back by shape and dtype") {
  const Tensor x = transpose(Tensor::from<uint8_t>({1, 2, 3, 4, 5, 6}, {2, 3}), 0, 1);
  const std::vector<char> bytes = x.to_bytes();
  CHECK(bytes == std::vector<char>{1, 4, 2, 5, 3, 6});
  CHECK(Tensor::from_bytes(bytes.data(), {3, 2}, DType::uint8).to_vector<uint8_t>() == x.to_vector<uint8_t>());
  CHECK(Tensor::from_bytes(nullptr, {0, 2}, DType::float32).shape() == Shape{0, 2});
  const char neither[] = {1, 2};
  CHECK_THROWS_WITH_AS(Tensor::from_bytes(neither, {2}, DType::boolean),
                       "[from_bytes] a bool has a byte that is neither 0 nor 1", Error);
}

TEST_CASE("sizes that overflow are refused by name") {
  constexpr int64_t huge = int64_t{1} << 62;
  CHECK_THROWS_WITH_AS(
      Tensor::zeros({huge}),
      "[tensor] no memory can hold float32 elements of shape [4611686018427387904]: their bytes do not "
      "even fit into 63 bits",
      Error);
  CHECK_THROWS_AS(Tensor::zeros({huge / 2}, DType::float64), Error);
  CHECK_THROWS_AS(Tensor::empty({int64_t{1} << 32, int64_t{1} << 32}), Error);
  CHECK_THROWS_AS(Tensor::empty({huge, huge, 0}), Error);
  CHECK_THROWS_AS(Tensor::empty({1, huge, huge, 0}, DType::uint8, Layout::channels_last), Error);
  CHECK_THROWS_AS(Tensor::from<float>({}, {int64_t{1} << 32, int64_t{1} << 32}), Error);
  CHECK_THROWS_AS(Tensor::arange(huge), Error);
  CHECK_THROWS_WITH_AS(Tensor::arange(258, DType::bfloat16),
                       "[arange] bfloat16 holds integers up to 256 alone, not 257", Error);
  CHECK_THROWS_AS(Tensor::eye(int64_t{1} << 32), Error);
  CHECK_THROWS_AS(Tensor::zeros({int64_t{1} << 59}), Error);  // countable, but no memory is that large
  CHECK(Tensor::empty({0, int64_t{1} << 40}).numel() == 0);
}

TEST_CASE("an undefined tensor has no values to read") {
  const char* hint = "the input is an undefined tensor; a default-constructed Tensor holds nothing";
  CHECK_THROWS_WITH_AS(Tensor().to_vector<float>(), text("[to_vector] ", hint).c_str(), Error);
  CHECK_THROWS_WITH_AS(Tensor().to_bytes(), text("[to_bytes] ", hint).c_str(), Error);
  CHECK_THROWS_WITH_AS(Tensor().item(), text("[item] ", hint).c_str(), Error);
}

TEST_CASE("a new tensor's values must be ones that its dtype can hold") {
  CHECK_THROWS_WITH_AS(Tensor::full({2}, 1.5, DType::int32),
                       "[full] int32 elements cannot hold the scalar 1.5; cast the tensor to a type that can", Error);
  CHECK_THROWS_AS(Tensor::full({2}, std::numeric_limits<double>::quiet_NaN(), DType::int64), Error);
  CHECK_THROWS_AS(Tensor::full({2}, -1, DType::uint8), Error);
  CHECK_THROWS_AS(Tensor::full({2}, 2, DType::boolean), Error);
  CHECK(Tensor::full({1}, 255, DType::uint8).item() == 255);
  CHECK_THROWS_WITH_AS(Tensor::arange(257, DType::uint8),
                       "[arange] uint8 elements cannot hold the scalar 256; cast the tensor to a type that can", Error);
  CHECK(Tensor::arange(256, DType::uint8).to_vector<uint8_t>().back() == 255);
  CHECK(Tensor::arange(0, DType::boolean).numel() == 0);
}
