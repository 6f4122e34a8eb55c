// .npy files: golden bytes, both directions through NumPy, and every kind of damage rejected by name.
#include "core/npy.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/ops.h"
#include "core/random.h"
#include "tests/data/temporary_folder.h"
#include "tests/read_back.h"

using namespace gradus;

namespace {

std::string npy_file(std::string header, const std::string& data, int version = 1) {
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(version);
  bytes += '\0';
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) bytes += static_cast<char>(header.size() >> 8 * i);
  return bytes + header + data;
}

std::string header_of(const std::string& descr, const std::string& shape, const std::string& fortran = "False") {
  return "{'descr': " + descr + ", 'fortran_order': " + fortran + ", 'shape': " + shape + ", }\n";
}

std::string npy_error(const std::string& bytes) {
  const TemporaryFolder folder;
  const std::string path = folder.write("x.npy", bytes);
  const std::string message = error_of([&] { load_npy(path); });
  CHECK(contains(message, path));
  return message;
}

Tensor loaded(const std::string& bytes) {
  const TemporaryFolder folder;
  return load_npy(folder.write("x.npy", bytes));
}

}  // namespace

TEST_CASE("a .npy file has the format's golden bytes") {
  const TemporaryFolder folder;
  save_npy(folder / "x.npy", Tensor::from<float>({1, -2}, {2, 1}));
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }";
  header.resize(117, ' ');
  const std::string expected =
      std::string("\x93NUMPY\x01\x00\x76\x00", 10) + header + "\n" + std::string("\0\0\x80\x3f\0\0\0\xc0", 8);
  CHECK(read_file(folder / "x.npy") == expected);
}

TEST_CASE("every dtype but bfloat16, any rank and layout come back from .npy as they were saved") {
  const TemporaryFolder folder;
  const Tensor matrix = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  for (const Tensor& saved :
       {matrix, transpose(matrix, 0, 1), Tensor::from<double>({0.1}, {}), Tensor::from<int32_t>({-5, 6}, {2}),
        Tensor::from<int64_t>({INT64_MIN, INT64_MAX}, {1, 2}), Tensor::from<uint8_t>({0, 255}, {2}),
        Tensor::from<bool>({true, false}, {2}), Tensor::zeros({3, 0}),
        contiguous(reshape(Tensor::arange(24, DType::float32), {1, 2, 3, 4}), Layout::channels_last)}) {
    save_npy(folder / "x", saved);
    const Tensor found = load_npy(folder / "x");
    CHECK(found.dtype() == saved.dtype());
    CHECK(found.shape() == saved.shape());
    CHECK(found.to_bytes() == saved.to_bytes());
    CHECK(read_file(folder / "x").find('\n') % 64 == 63);
  }
  const std::string message = error_of([&] { save_npy(folder / "y", Tensor::ones({1}, DType::bfloat16)); });
  CHECK(contains(message, "NumPy has no bfloat16"));
  CHECK(contains(message, "cast(x, DType::float32)"));
  CHECK(contains(error_of([&] { save_npy(folder / "y", {}); }), "undefined"));
}

TEST_CASE("both versions, both orders and any order of keys and spaces are read") {
  const std::string data("\1\2\3\4\5\6", 6);
  const std::vector<uint8_t> rows = {1, 2, 3, 4, 5, 6}, columns = {1, 3, 5, 2, 4, 6};
  for (int version : {1, 2})
    CHECK(loaded(npy_file(header_of("'|u1'", "(2, 3)"), data, version)).to_vector<uint8_t>() == rows);
  const Tensor fortran = loaded(npy_file(header_of("'|u1'", "(2, 3)", "True"), data));
  CHECK(fortran.shape() == Shape{2, 3});
  CHECK(fortran.to_vector<uint8_t>() == columns);
  const Tensor loose = loaded(npy_file("{ \"shape\" :( 6 , ),'fortran_order':False,'descr':'|u1'}", data));
  CHECK(loose.shape() == Shape{6});
  CHECK(loaded(npy_file(header_of("'|b1'", "()"), std::string("\1", 1))).item() == 1);
}

TEST_CASE("what is no .npy file of a tensor is rejected by name") {
  const std::string good = header_of("'<f4'", "(1,)"), four(4, '\0');
  CHECK(contains(npy_error("\x93NUM"), "fewer than a header takes: it was cut short"));
  CHECK(contains(npy_error("PK\x03\x04 an .npz file, say"), "does not begin as a .npy file"));
  CHECK(contains(npy_error(npy_file(good, four, 3)), "has format version 3.0"));
  CHECK(contains(npy_error(npy_file(good, four).substr(0, 20)), "are read: the file was cut short"));
  CHECK(
      contains(npy_error(npy_file(good, four, 2).substr(0, 11)), "within the length of its header: it was cut short"));
  CHECK(contains(npy_error(npy_file(good, std::string(3, '\0'))), "takes 4 bytes, but 3 follow the header: the file"));
  CHECK(contains(npy_error(npy_file(good, std::string(5, '\0'))), "takes 4 bytes, but 5 follow"));
  CHECK(contains(npy_error(npy_file(header_of("'>f4'", "(1,)"), four)), "its dtype '>f4' is none of gradus'"));
  CHECK(contains(npy_error(npy_file(header_of("'>f2'", "(2,)"), four)), "'>f2' is none of gradus': save array.asty"));
  CHECK(contains(npy_error(npy_file(header_of("'<f2'", "(2,)"), "123")),
                 "float16 [2] takes 4 bytes, but 3 follow the header: the file was cut short"));
  CHECK(contains(npy_error(npy_file(header_of("'|O'", "(1,)"), four)), "its dtype '|O'"));
  CHECK(contains(npy_error(npy_file(header_of("[('a', '<f4')]", "(1,)"), four)), "holds records"));
  CHECK(contains(npy_error(npy_file(header_of("'<f4'", "(-1,)"), four)), "no list of non-negative integers"));
  CHECK(contains(npy_error(npy_file(header_of("'<f4'", "(1, 1, 1, 1, 1, 1, 1, 1, 1)"), four)), "rank is above 8"));
  CHECK(contains(npy_error(npy_file(header_of("'<f4'", "(99999999999999999999,)"), four)), "overflows"));
  CHECK(contains(npy_error(npy_file(header_of("'<f4'", "(4294967296, 4294967296)"), four)), "overflows"));
  CHECK(contains(npy_error(npy_file(header_of("'<f4'", "(0, 4611686018427387904, 4611686018427387904)"), "")), ""));
  CHECK(contains(npy_error(npy_file(header_of("'<f4'", "(1,)", "Maybe"), four)), "lacks 'False'"));
  CHECK(contains(npy_error(npy_file("{'descr': '<f4', 'shape': (1,)}", four)), "lacks one of"));
  CHECK(contains(npy_error(npy_file("{'descr': '<f4', 'descr': '<f4'}", four)), "a key too many: 'descr'"));
  CHECK(contains(npy_error(npy_file("{'more': 1}", four)), "a key too many: 'more'"));
  CHECK(contains(npy_error(npy_file("{descr: 1}", four)), "no text in quotes"));
  CHECK(contains(npy_error(npy_file("{'descr", four)), "no text in quotes"));
  CHECK(contains(npy_error(npy_file("['descr']", four)), "lacks '{'"));
  CHECK(contains(npy_error(npy_file(good + "x", four)), "goes on behind its dictionary"));
  CHECK(contains(npy_error(npy_file(header_of("'|b1'", "(1,)"), "\x02")), "neither 0 nor 1"));
}

TEST_CASE("damaged .npy files never crash: each is read or rejected by name") {
  const TemporaryFolder folder;
  save_npy(folder / "x", Tensor::from<int64_t>({1, 2, 3, 4, 5, 6}, {2, 3}));
  const std::string bytes = read_file(folder / "x");
  Generator random(7);
  int rejected = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = bytes;
    if (i % 4 == 0) damaged.resize(random.below(bytes.size()));
    for (uint64_t flips = 1 + random.below(3); flips > 0 && !damaged.empty(); --flips)
      damaged[random.below(std::min<uint64_t>(damaged.size(), 80))] ^= static_cast<char>(1 << random.below(8));
    const std::string path = folder.write("damaged", damaged);
    try {
      load_npy(path);
    } catch (const Error& error) {
      CHECK(contains(error.what(), path));
      ++rejected;
    }
  }
  CHECK(rejected > 1500);
}

TEST_CASE("NumPy reads what save_npy wrote, and load_npy what NumPy wrote") {
  const std::string python = python_with("numpy");
  if (python.empty()) return;
  const TemporaryFolder folder;
  const Tensor matrix = Tensor::from<double>({1, 2, 3, 4, 5, 6}, {2, 3});
  save_npy(folder / "a.npy", transpose(matrix, 0, 1));
  save_npy(folder / "b.npy", Tensor::from<bool>({true, false}, {2}));
  save_npy(folder / "c.npy", Tensor::from<int64_t>({INT64_MIN}, {}));
  const nlohmann::json found =
      read_back(python, "npy " + folder / "a.npy" + " " + folder / "b.npy" + " " + folder / "c.npy");
  CHECK(found[0] == nlohmann::json::parse(R"({"dtype":"<f8","shape":[3,2],"c":true,"values":[1,4,2,5,3,6]})"));
  CHECK(found[1] == nlohmann::json::parse(R"({"dtype":"|b1","shape":[2],"c":true,"values":[true,false]})"));
  CHECK(found[2].at("values")[0].get<int64_t>() == INT64_MIN);

  CHECK(read_back(python, "write-npy " + folder.path().string()).size() == 18);
  const Tensor counted = reshape(Tensor::arange(24, DType::float64), {2, 3, 4});
  for (const char* name : {"f4", "f8", "i4", "i8", "u1", "half", "fortran", "version2"}) {
    CAPTURE(name);
    const Tensor array = load_npy(folder / (std::string(name) + ".npy"));
    CHECK(array.shape() == counted.shape());
    CHECK(cast(array, DType::float64).to_bytes() == counted.to_bytes());
  }
  const std::vector<float> halves = load_npy(folder / "halves.npy").to_vector<float>(),
                           widened = load_npy(folder / "widened.npy").to_vector<float>();
  REQUIRE(halves.size() == 65536);
  CHECK(std::equal(halves.begin(), halves.end(), widened.begin(), widened.end(), [](float a, float b) {
    return std::isnan(a) ? std::isnan(b) : std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
  }));
  CHECK(load_npy(folder / "bool.npy").to_vector<bool>()[2]);
  CHECK(load_npy(folder / "scalar.npy").item() == 2.5);
  CHECK(load_npy(folder / "empty.npy").shape() == Shape{0, 3});
  CHECK(contains(error_of([&] { load_npy(folder / "big.npy"); }), "'>f4'"));
  CHECK(contains(error_of([&] { load_npy(folder / "records.npy"); }), "records"));
}
