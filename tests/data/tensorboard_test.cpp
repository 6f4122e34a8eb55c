// Event files: golden bytes, and what TensorBoard's own reader finds.
#include "data/tensorboard.h"

#include <cmath>
#include <filesystem>

#include "data/tfrecord.h"
#include "tests/data/temporary_folder.h"
#include "tests/read_back.h"

using namespace gradus;

namespace {

std::string hex(const std::string& bytes) {
  std::string text;
  for (unsigned char byte : bytes) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", byte);
    text += two;
  }
  return text;
}

EventWriter::Clock counting() {
  return [time = 0.0]() mutable { return std::min(time++, 2.0); };
}

}  // namespace

TEST_CASE("crc32c has its published check value, and the masked form TensorFlow's") {
  CHECK(crc32c("123456789") == 0xe3069283u);
  CHECK(masked_crc32c("123456789") == 0xc78ab0e5u);
  CHECK(crc32c("") == 0);
}

TEST_CASE("an event file begins with its version and has the golden bytes for a scalar") {
  const TemporaryFolder folder;
  EventWriter events(folder / "run", counting());
  events.scalar("loss", 0.5, 7);
  CHECK(hex(read_file(events.path())) ==
        "1800000000000000a37f4b2209000000000000f03f1a0d627261696e2e4576656e743a3286bf577a"
        "1a00000000000000129bd82d09000000000000004010072a0d0a0b0a046c6f7373150000003fc33fc24a");
  const std::string name = std::filesystem::path(events.path()).filename().string();
  CHECK(name.starts_with("events.out.tfevents.0000000000."));
}

TEST_CASE("every writer has a file of its own, and what keeps it from having one is named") {
  const TemporaryFolder folder;
  const EventWriter first(folder / "run", counting()), second(folder / "run", counting());
  CHECK(first.path() != second.path());
  folder.write("file", "");
  const std::string message = error_of([&] { EventWriter(folder / "file"); });
  CHECK(contains(message, "cannot create " + folder / "file/events.out.tfevents."));
  CHECK(contains(message, "Not a directory"));
}

TEST_CASE("an image that is none is not written") {
  const TemporaryFolder folder;
  EventWriter events(folder.path().string());
  CHECK(contains(error_of([&] { events.image("x", {.height = 2, .width = 2, .channels = 3, .pixels = {1}}, 0); }),
                 "1 bytes for [2,2,3]"));
}

TEST_CASE("a PNG that was encoded decodes to the same pixels") {
  Image image{.height = 5, .width = 3, .channels = 3, .pixels = {}};
  for (int i = 0; i < 45; ++i) image.pixels.push_back(static_cast<uint8_t>(i * 37));
  const Image decoded = decode_image(as_bytes(encode_png(image)), "x");
  CHECK(decoded.height == 5);
  CHECK(decoded.width == 3);
  CHECK(decoded.pixels == image.pixels);
}

TEST_CASE("TensorBoard's reader finds scalars, histograms and pictures") {
  const std::string python = python_with("tensorboard");
  if (python.empty()) return;
  const TemporaryFolder folder;
  EventWriter events(folder.path().string());
  for (int64_t step : {1, 2}) events.scalar("train/loss", 1.0 / static_cast<double>(step), step);
  events.histogram("weights", Tensor::from<float>({-1, 0, 0, 3, NAN, INFINITY}, {2, 3}), 2);
  events.histogram("constant", Tensor::full({5}, 2), 2);
  events.histogram("no numbers", Tensor::full({5}, NAN), 2);
  const Image image{.height = 1, .width = 2, .channels = 3, .pixels = {255, 0, 0, 0, 0, 255}};
  events.image("batch", image, 3);
  const nlohmann::json found = read_back(python, "tensorboard " + folder.path().string());

  const nlohmann::json& loss = found.at("scalars").at("train/loss");
  REQUIRE(loss.size() == 2);
  CHECK(loss[1][0] == 2);
  CHECK(loss[1][1] == 0.5);
  CHECK(loss[1][2].get<double>() > 1.6e9);
  const nlohmann::json& weights = found.at("histograms").at("weights")[0];
  CHECK(weights[1] == -1);
  CHECK(weights[2] == 3);
  CHECK(weights[3] == 4);
  CHECK(weights[4] == 2);
  CHECK(weights[5] == 10);
  const auto limits = weights[6].get<std::vector<double>>(), counts = weights[7].get<std::vector<double>>();
  REQUIRE(limits.size() == counts.size());
  CHECK(limits.back() == 3);
  double below_one = 0;
  for (size_t i = 0; i < limits.size(); ++i) below_one += limits[i] <= 1 ? counts[i] : 0;
  CHECK(below_one == 3);
  CHECK(found.at("histograms").at("constant")[0][3] == 5);
  CHECK(found.at("histograms").at("no numbers")[0][3] == 0);
  const nlohmann::json& batch = found.at("images").at("batch")[0];
  CHECK(batch[0] == 3);
  CHECK(batch[2] == 2);
  CHECK(batch[3] == hex(encode_png(image)));
}

TEST_CASE("after a restart TensorBoard's reader shows each step once") {
  const std::string python = python_with("tensorboard");
  if (python.empty()) return;
  const TemporaryFolder folder;
  const std::string path = folder.path().string();
  {
    EventWriter killed(path, [] { return 100.0; });
    for (int64_t step : {1, 2, 3}) killed.scalar("loss", 1, step);
  }
  EventWriter resumed(path, [] { return 200.0; });
  resumed.restart(2);
  for (int64_t step : {2, 3, 4}) resumed.scalar("loss", 5, step);
  const nlohmann::json loss = read_back(python, "tensorboard " + path).at("scalars").at("loss");
  REQUIRE(loss.size() == 4);
  for (size_t i = 0; i < 4; ++i) {
    CHECK(loss[i][0] == i + 1);
    CHECK(loss[i][1] == (i == 0 ? 1 : 5));
  }
}
