// --tensorboard and --export-onnx, as people use them.
#include <signal.h>

#include "tests/apps/program.h"
#include "tests/apps/resumed_run.h"
#include "tests/apps/tiny_images.h"
#include "tests/read_back.h"

namespace gradus::interchange_test {
namespace {

using Words = std::vector<std::string>;

/// A perceptron, and no FOP, whose matrices of 1000 rows take most of a second a step.
Words tiny_run(const TinyImages& images, const Words& more) {
  Words words = {"--data",  images.data(), "--batch",          "10",  "--threads", "2",
                 "--model", "mlp",         "--preconditioner", "none"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

Program::Result train(const TinyImages& images, const Words& more) {
  return run_program("apps/cifar10_train", tiny_run(images, more));
}

std::vector<std::string> event_files(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) names.push_back(entry.path().string());
  return names;
}

TEST_CASE("--tensorboard adds one event file, in which TensorBoard finds metrics, weights and pictures") {
  const TinyImages images;
  const std::string with = images / "with", without = images / "without";
  for (int again = 0; again < 2; ++again)  // the second run replaces the first, its events too
    CHECK(train(images, {"--epochs", "2", "--out", with, "--tensorboard"}).exit_code == 0);
  CHECK(train(images, {"--epochs", "2", "--out", without}).exit_code == 0);
  CHECK(event_files(with).size() == 1);
  CHECK(event_files(without).empty());
  for (const char* file : {"/metrics.jsonl", "/metrics.csv", "/weights.safetensors"})
    CHECK(read_file(with + file) == read_file(without + file));

  const std::string python = python_with("tensorboard");
  if (python.empty()) return;
  const nlohmann::json found = read_back(python, "tensorboard " + with);
  const auto row = nlohmann::json::parse(lines_of(read_file(with + "/metrics.jsonl")).at(1));
  for (const char* name : {"train_loss", "train_accuracy", "test_loss", "test_accuracy", "lr"}) {
    CAPTURE(name);
    const nlohmann::json& scalars = found.at("scalars").at(name);
    REQUIRE(scalars.size() == 2);
    CHECK(scalars[1][0] == row.at("step"));
    CHECK(scalars[1][1].get<double>() == doctest::Approx(row.at(name).get<double>()).epsilon(1e-6));
  }
  CHECK(found.at("histograms").at("fc1.weight").size() == 2);
  CHECK(found.at("images").at("first batch/0").size() == 1);
}

TEST_CASE("a resumed run needs no flag to go on with its events, in a second file, and shows each epoch once") {
  const TinyImages images;
  const std::string folder = images / "run";
  caught("apps/cifar10_train", tiny_run(images, {"--epochs", "30", "--json", "--out", folder, "--tensorboard"}), folder,
         [](Program& program) {
           for (int epoch = 0; epoch < 3; ++epoch) program.next_line();
           program.signal(SIGKILL);
         });
  const Program::Result resumed = run_program("apps/cifar10_train", {"--resume", folder});
  CAPTURE(resumed.err);
  CHECK(resumed.exit_code == 0);
  CHECK(event_files(folder).size() == 2);

  const std::string python = python_with("tensorboard");
  if (python.empty()) return;
  const nlohmann::json loss = read_back(python, "tensorboard " + folder).at("scalars").at("train_loss");
  CHECK(loss.size() == 30);
  int64_t last = 0;
  for (const nlohmann::json& point : loss) {
    CHECK(point[0].get<int64_t>() > last);
    last = point[0].get<int64_t>();
  }
}

TEST_CASE("--export-onnx exports the trained model and what its inputs are; also without training, from weights") {
  const TinyImages images;
  const std::string file = images / "net.onnx", again = images / "again.onnx";
  CHECK(train(images, {"--epochs", "1", "--out", images / "run", "--export-onnx", file}).exit_code == 0);
  const Program::Result exported =
      train(images, {"--epochs", "0", "--weights", images / "run/weights.safetensors", "--export-onnx", again});
  CHECK(exported.exit_code == 0);
  CHECK(contains(exported.out, "exported " + again));
  CHECK(read_file(file) == read_file(again));
  // Whatever the training computed in, the file computes in float32.
  const std::string mixed = images / "mixed.onnx";
  CHECK(train(images, {"--epochs", "0", "--weights", images / "run/weights.safetensors", "--amp", "bf16",
                       "--export-onnx", mixed})
            .exit_code == 0);
  CHECK(read_file(file) == read_file(mixed));

  const std::string python = python_with("onnx");
  if (python.empty()) return;
  const nlohmann::json info = read_back(python, "onnx-info " + file);
  CHECK(info.at("input")[0] == "images");
  CHECK(info.at("output")[1][0] == "batch");
  CHECK(info.at("initializers").contains("fc1.weight"));
  for (const char* name : {"mean", "std", "classes"}) CHECK(info.at("metadata").at(name) != "");
}

TEST_CASE("--tensorboard without --out and a file that cannot be written are each one line") {
  const TinyImages images;
  const Program::Result usage = train(images, {"--tensorboard"});
  CHECK(usage.exit_code == 2);
  CHECK(contains(usage.err, "--tensorboard needs --out: it writes into that folder"));
  const Program::Result missing = train(images, {"--epochs", "0", "--export-onnx", images / "no/where.onnx"});
  CHECK(missing.exit_code == 2);
  CHECK(contains(lines_of(missing.err).back(), "no/where.onnx"));
}

}  // namespace
}  // namespace gradus::interchange_test
