// safetensors files: golden bytes, round trips, and every kind of damage rejected by name.
#include "core/safetensors.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>

#include "core/error.h"
#include "core/file.h"
#include "core/ops.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

std::string with_header(const std::string& header, const std::string& buffer = "") {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + buffer;
}

/// What load() says about a file of these bytes.
std::string rejection(const std::string& bytes) {
  const TemporaryFolder folder;
  const std::string path = folder.write("x.safetensors", bytes);
  const std::string message = error_of([&] { safetensors::load(path); });
  CHECK(contains(message, path));
  return message;
}

bool accepted(const std::string& bytes) {
  const TemporaryFolder folder;
  safetensors::load(folder.write("x.safetensors", bytes));
  return true;
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

}  // namespace

TEST_CASE("an empty file has the format's golden bytes") {
  const TemporaryFolder folder;
  const std::string path = folder / "x";
  safetensors::save(path, {});
  CHECK(read_file(path) == std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
  CHECK(safetensors::load(path).tensors.empty());
}

TEST_CASE("a file is laid out with wider dtypes first, then by name, its header padded to 8 bytes") {
  const TemporaryFolder folder;
  const std::string path = folder / "x";
  safetensors::save(path,
                    {{"a", Tensor::from<uint8_t>({7}, {1})},
                     {"c", Tensor::from<float>({1}, {1})},
                     {"b", Tensor::from<float>({2}, {})}},
                    {{"k", "v"}});
  const std::string header = R"({"__metadata__":{"k":"v"},)" + entry("b", "F32", "[]", "[0,4]") + "," +
                             entry("c", "F32", "[1]", "[4,8]") + "," + entry("a", "U8", "[1]", "[8,9]") + "}";
  const std::string padding((8 - header.size() % 8) % 8, ' ');
  CHECK(read_file(path) == with_header(header + padding, std::string("\0\0\0\x40\0\0\x80\x3f\x07", 9)));
}

TEST_CASE("every dtype, rank 0, empty tensors, views and metadata come back as they were saved") {
  const TemporaryFolder folder;
  const std::string path = folder / "x";
  const Tensor matrix = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  const std::map<std::string, Tensor> saved = {
      {"f32", matrix},
      {"f64", Tensor::from<double>({0.1, -0.0}, {2})},
      {"i32", Tensor::from<int32_t>({-5}, {})},
      {"i64", Tensor::from<int64_t>({INT64_MIN, INT64_MAX}, {2})},
      {"u8", Tensor::from<uint8_t>({0, 255}, {1, 2})},
      {"bool", Tensor::from<bool>({true, false, true}, {3})},
      {"bf16", Tensor::from<bfloat16>({bfloat16(1.5f), bfloat16(-2.0f)}, {2})},
      {"empty", Tensor::zeros({3, 0, 2})},
      {"transposed", transpose(matrix, 0, 1)},
      {"channels last", contiguous(reshape(Tensor::arange(24, DType::float32), {1, 2, 3, 4}), Layout::channels_last)},
      {"a \"strange\" name\n\xc3\xa9", Tensor::ones({1})},
  };
  const std::map<std::string, std::string> metadata = {{"format", "pt"}, {"note", "two\nlines"}};
  safetensors::save(path, saved, metadata);
  const safetensors::Content loaded = safetensors::load(path);
  CHECK(loaded.metadata == metadata);
  REQUIRE(loaded.tensors.size() == saved.size());
  for (const auto& item : saved) {
    INFO(item.first);
    const Tensor &tensor = item.second, &found = loaded.tensors.at(item.first);
    CHECK(found.dtype() == tensor.dtype());
    REQUIRE(found.shape() == tensor.shape());
    CHECK(cast(found, DType::float64).to_vector<double>() == cast(tensor, DType::float64).to_vector<double>());
  }
  CHECK(loaded.tensors.at("i64").to_vector<int64_t>() == std::vector<int64_t>{INT64_MIN, INT64_MAX});
  CHECK(loaded.tensors.at("transposed").to_vector<float>() == std::vector<float>{1, 4, 2, 5, 3, 6});
}

TEST_CASE("NaN and infinity are kept") {
  const TemporaryFolder folder;
  const std::string path = folder / "x";
  safetensors::save(path, {{"x", Tensor::from<float>({NAN, -INFINITY}, {2})}});
  const auto values = safetensors::load(path).tensors.at("x").to_vector<float>();
  CHECK(std::isnan(values[0]));
  CHECK(values[1] == -INFINITY);
}

TEST_CASE("what the format cannot hold is not saved, and an existing file stays") {
  const TemporaryFolder folder;
  const std::string path = folder / "x";
  write_file_atomically(path, "old");
  CHECK_THROWS_AS(safetensors::save(path, {{"__metadata__", Tensor::ones({1})}}), Error);
  CHECK_THROWS_AS(safetensors::save(path, {{"x", Tensor()}}), Error);
  CHECK_THROWS_AS(safetensors::save(path, {{"\xff", Tensor::ones({1})}}), Error);
  CHECK(read_file(path) == "old");
}

TEST_CASE("a file whose header does not fit is rejected") {
  CHECK(contains(rejection("\x08"), "takes 8: the file was cut short"));
  CHECK(contains(rejection(std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10)),
                 "at most 100000000, and this reads as 100000001"));
  CHECK(contains(rejection(std::string("\x09\0\0\0\0\0\0\0{}      ", 16)), "only 8 follow: the file was cut short"));
  CHECK(contains(rejection(with_header("")), "does not begin with {"));
  CHECK(contains(rejection(with_header(" {}")), "does not begin with {"));
  CHECK(contains(rejection(with_header("{")), "not UTF-8 JSON"));
  CHECK(contains(rejection(with_header("{\"\xff\":1}")), "not UTF-8 JSON"));
  CHECK(contains(rejection(with_header("{} x")), "not UTF-8 JSON"));
}

TEST_CASE("a header that does not describe tensors is rejected") {
  const auto one = [](const std::string& text) { return rejection(with_header("{" + text + "}", "1234")); };
  CHECK(contains(one("\"x\":3"), "not described by an object"));
  CHECK(contains(one(R"("x":{"shape":[1],"data_offsets":[0,4]})"), "no \"dtype\""));
  CHECK(contains(one(R"("x":{"dtype":"F32","data_offsets":[0,4]})"), "no list \"shape\""));
  CHECK(contains(one(R"("x":{"dtype":"F32","shape":[1]})"), "no list \"data_offsets\""));
  CHECK(contains(one(entry("x", "F99", "[1]", "[0,4]")), "unknown dtype \"F99\""));
  CHECK(
      contains(one(entry("x", "I16", "[2]", "[0,4]")), "has dtype I16, which gradus lacks: convert it to F32 or I64"));
  CHECK(contains(one(entry("x", "F16", "[3]", "[0,4]")), "of dtype float16 and shape [3] needs 6 bytes"));
  CHECK(contains(one(entry("x", "F32", "[-1]", "[0,4]")), "non-negative integer"));
  CHECK(contains(one(entry("x", "F32", "[1.0]", "[0,4]")), "non-negative integer"));
  CHECK(contains(one(entry("x", "F32", "[\"1\"]", "[0,4]")), "non-negative integer"));
  CHECK(contains(one(entry("x", "F32", "[1]", "[0,4,4]")), "3 data_offsets"));
  CHECK(contains(one(entry("x", "F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]")), "rank 9"));
  CHECK(contains(one("\"__metadata__\":3"), "__metadata__ is not an object"));
  CHECK(contains(one(R"("__metadata__":{"a":1})"), "not a string"));
}

TEST_CASE("a name that comes twice is rejected") {
  CHECK(contains(
      rejection(with_header("{" + entry("x", "F32", "[1]", "[0,4]") + "," + entry("x", "F32", "[1]", "[4,8]") + "}",
                            "12345678")),
      "the key \"x\" twice"));
  CHECK(contains(rejection(with_header(R"({"__metadata__":{"a":"1","a":"2"}})")), "the key \"a\" twice"));
}

TEST_CASE("a name is shortened in a message") {
  const std::string message = rejection(with_header("{" + entry(std::string(5000, 'n'), "F32", "[1]", "[0,3]") + "}"));
  CHECK(message.size() < 400);
  CHECK(contains(message, "tensor \"nnn"));
  CHECK(contains(message, "...nnn"));
}

TEST_CASE("tensors that do not cover the buffer exactly once are rejected") {
  const auto file = [](const std::string& a, const std::string& b, size_t size) {
    return with_header("{" + entry("a", "U8", "[2]", a) + "," + entry("b", "U8", "[2]", b) + "}",
                       std::string(size, '\0'));
  };
  const auto two = [&](const std::string& a, const std::string& b, size_t size) { return rejection(file(a, b, size)); };
  CHECK(accepted(file("[0,2]", "[2,4]", 4)));
  CHECK(accepted(file("[2,4]", "[0,2]", 4)));
  CHECK(contains(two("[1,3]", "[3,5]", 5), "there is a hole"));
  CHECK(contains(two("[0,2]", "[3,5]", 5), "there is a hole"));
  CHECK(contains(two("[0,2]", "[1,3]", 3), "tensors overlap"));
  CHECK(contains(two("[0,2]", "[0,2]", 2), "tensors overlap"));
  CHECK(contains(two("[0,2]", "[2,4]", 5), "take 4 bytes, but 5 follow"));
  CHECK(contains(two("[0,2]", "[2,4]", 3), "the file was cut short"));
  CHECK(contains(two("[2,0]", "[2,4]", 4), "before it begins"));
  CHECK(contains(two("[0,3]", "[3,5]", 5), "needs 2 bytes, but its data_offsets span 3"));
}

TEST_CASE("shapes whose size overflows are rejected") {
  const auto file = [](const std::string& shape) { return with_header("{" + entry("x", "F64", shape, "[0,0]") + "}"); };
  const auto shaped = [&](const std::string& shape) { return rejection(file(shape)); };
  CHECK(accepted(file("[0]")));
  CHECK(contains(shaped("[4294967296,4294967296]"), "overflows"));
  CHECK(contains(shaped("[2305843009213693952]"), "overflows"));
  CHECK(contains(shaped("[0,18446744073709551615]"), "overflows"));
  CHECK(contains(shaped("[0,4611686018427387904,4611686018427387904]"), "tensor \"x\""));
}

TEST_CASE("a bool that is neither 0 nor 1 is rejected") {
  CHECK(
      contains(rejection(with_header("{" + entry("x", "BOOL", "[2]", "[0,2]") + "}", "\x01\x02")), "neither 0 nor 1"));
}
