// Damaged files of core's formats: safetensors, npy, JSON, and the convolution plans that are made of it.
#include "core/cuda/plan_file.h"
#include "core/json.h"
#include "core/npy.h"
#include "core/ops.h"
#include "core/safetensors.h"
#include "tests/data/temporary_folder.h"
#include "tests/mutate.h"

using namespace gradus;
using mutation::campaign;

namespace {

std::vector<std::string> with_json(std::vector<std::string> words) {
  const std::vector<std::string> more = mutation::json_words();
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// Makes the first eight bytes say how long the header is, which ends before `tail` bytes.
void fit_header(std::string& bytes, size_t tail) {
  if (bytes.size() < 8 + tail) return;
  const uint64_t length = bytes.size() - 8 - tail;
  bytes.replace(0, 8, reinterpret_cast<const char*>(&length), 8);
}

}  // namespace

TEST_CASE("a damaged safetensors file is read or named") {
  const TemporaryFolder folder;
  const std::string path = folder / "x.safetensors";
  safetensors::save(path,
                    {{"conv.weight", Tensor::from<float>({1, 2, 3, 4, 5, 6}, {1, 2, 3, 1})},
                     {"flag", Tensor::from<bool>({true, false}, {2})},
                     {"half", cast(Tensor::ones({2, 2}), DType::bfloat16)},
                     {"none", Tensor::zeros({0, 3, 5}, DType::int64)},
                     {"step", Tensor::from<int64_t>({7}, {})}},
                    {{"epoch", "3"}, {"text", "a\nb"}});
  const std::string valid = read_file(path);
  campaign({.name = "safetensors",
            .valid = valid,
            .read =
                [&](const std::string& bytes) {
                  folder.write("x.safetensors", bytes);
                  const safetensors::Content content = safetensors::load(path);
                  safetensors::save(folder / "again", content.tensors, content.metadata);
                },
            .file = path,
            .words = with_json({"\"dtype\":\"F64\"", "\"shape\":[0,4611686018427387904,4611686018427387904]",
                                "\"shape\":[4611686018427387904,4611686018427387904,0]", "\"data_offsets\":[0,0]",
                                "\"shape\":[1,1,1,1,1,1,1,1,1]", "\"__metadata__\":{\"a\":1}", "[0,0]", "\"BF16\"",
                                "\"F16\""}),
            .seal = [tail = size_t{8 + 24 + 8 + 2}](std::string& bytes) { fit_header(bytes, tail); },
            .share = 4});
}

TEST_CASE("a damaged .npy file is read or named") {
  const TemporaryFolder folder;
  const std::string path = folder / "x.npy";
  save_npy(path, Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3}));
  std::string fortran = read_file(path);
  const size_t at = fortran.find("False");
  fortran.replace(at, 5, "True ");
  for (const std::string& valid : {read_file(path), fortran})
    campaign({.name = "npy",
              .valid = valid,
              .read =
                  [&](const std::string& bytes) {
                    folder.write("x.npy", bytes);
                    save_npy(folder / "again", load_npy(path));
                  },
              .file = path,
              .words = {"'shape': (4611686018427387904, 4611686018427387904, 0)", "(0, 4611686018427387904, 1)",
                        "(4611686018427387904, 0)", "(4611686018427387904, 4611686018427387904, 0)", "'descr': '|b1'",
                        "'<f8'", "'<f2'", "'|u1'", "True", "(", ")", "'", "(0,)", "()", "(1,1,1,1,1,1,1,1,1)"},
              .share = 2});
}

TEST_CASE("damaged JSON is read or rejected, and what is read can be written and read again") {
  const std::string valid =
      R"({"a": [1, -2, 2.5e-3, true, null], "b": {"c": "d\n\u00e9\ud83d\ude00"}, "n": 18446744073709551615})";
  campaign({.name = "json",
            .valid = valid,
            .read =
                [](const std::string& bytes) {
                  const Json value = Json::parse(bytes);
                  for (int indent : {-1, 2})
                    if (!(Json::parse(value.dump(indent)) == value)) throw std::runtime_error("reads back otherwise");
                  for (const char* key : {"a", "b"}) value.at(key);
                  value.at("b").at("c").string();
                  value.at("n").get<uint64_t>();
                },
            .words = mutation::json_words(),
            .share = 4});
}

TEST_CASE("a damaged file of convolution plans is read or named") {
  const TemporaryFolder folder;
  const std::string path = folder / "plans.json";
  campaign({.name = "plans",
            .valid = R"({"forward H100 2x3x8x8": "engine 1", "other": "engine 2"})",
            .read =
                [&](const std::string& bytes) {
                  folder.write("plans.json", bytes);
                  cuda::PlanFile plans(path);
                  plans.find("other");
                  plans.add("new", "engine 3");
                },
            .file = path,
            .words = mutation::json_words()});
}
