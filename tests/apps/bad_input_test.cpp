// Input that people do give: each must end in one clear line and an exit code, never in a crash or a guess.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include "core/accelerator.h"
#include "core/safetensors.h"
#include "tests/apps/program.h"
#include "tests/apps/tiny_images.h"

namespace gradus::bad_input_test {
namespace {

using Words = std::vector<std::string>;

// Runs cifar10_train, which must print one line on standard error that contains every part, and end with this code.
void expect_failure(const Words& words, int exit_code, const Words& parts) {
  const Program::Result result = run_program("apps/cifar10_train", words);
  CAPTURE(result.err);
  CHECK(result.exit_code == exit_code);
  CHECK(lines_of(result.err).size() == 1);
  CHECK(contains(result.err, "cifar10_train: "));
  CHECK(result.out.empty());
  for (const std::string& part : parts) {
    CAPTURE(part);
    CHECK(contains(result.err, part));
  }
}

// The six files of CIFAR-10's binary version: black images of class 0.
std::string write_black_cifar10(const TemporaryFolder& folder) {
  for (const char* name :
       {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"}) {
    const std::string file = folder.write("cifar-10-batches-bin/" + std::string(name) + ".bin", "");
    std::filesystem::resize_file(file, 30730000);
  }
  return folder / "cifar-10-batches-bin";
}

TEST_CASE("a mistyped flag or word is answered with what it may have been meant for") {
  expect_failure({"--epoch", "3"}, 2, {"there is no flag --epoch; did you mean --epochs? (--help lists the flags)"});
  expect_failure({"--lr_dorp=3"}, 2, {"there is no flag --lr_dorp; did you mean --lr-drop?"});
  expect_failure({"-rule", "sgd"}, 2, {"; did you mean --rule?"});
  expect_failure({"--optimiser", "adam"}, 2, {"; did you mean --rule?"});
  expect_failure({"--nothing-like-it"}, 2, {"there is no flag --nothing-like-it (--help lists the flags)"});
  expect_failure({"stray"}, 2, {"stray (--help lists the flags)"});
  expect_failure({"--rule", "admw"}, 2, {"--rule: admw not in {", "}; did you mean adamw? (--help lists the flags)"});
  expect_failure({"--rule", "newton"}, 2, {"} (--help lists the flags)"});
  const Program::Result command = run_program("apps/bench/bench", {"conv", "--thread", "2"});
  CHECK(command.exit_code == 2);
  CHECK(contains(command.err, "; did you mean --threads?"));
}

TEST_CASE("more threads than there are cores are pointed out") {
  const TinyImages images;
  const Program::Result result =
      run_program("apps/cifar10_train", {"--data", images.data(), "--epochs", "0", "--threads", "1000"});
  CHECK(result.exit_code == 0);
  CHECK(contains(lines_of(result.err).at(0), "--threads 1000 is more than the "));
}

TEST_CASE("a folder in which several data sets lie is refused") {
  const TinyImages images;
  images.folder().write("data/mnist/train-labels-idx1-ubyte", "");
  expect_failure({"--data", images.data()}, 1, {images.data() + " holds several data sets: MNIST (mnist/"});
}

TEST_CASE("a data folder that is missing is named") {
  const TemporaryFolder folder;
  expect_failure({"--data", folder / "nowhere"}, 1, {folder / "nowhere"});
}

TEST_CASE("a pipe is no data set") {
  const TemporaryFolder folder;
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  expect_failure({"--data", folder / "pipe"}, 1, {folder / "pipe", "neither a folder nor a regular file"});
}

TEST_CASE("a picture without pixels is named") {
  const TinyImages images;
  images.folder().write("data/train/red/3.ppm", "P6 0 4 255\nabc");
  expect_failure({"--data", images.data()}, 1, {"train/red/3.ppm has 4x0 pixels"});
}

TEST_CASE("a batch file that is too short is named, with the size it should have") {
  const TemporaryFolder folder;
  const std::string data = write_black_cifar10(folder);
  std::filesystem::resize_file(data + "/data_batch_3.bin", 30729999);
  expect_failure({"--data", data}, 1, {"data_batch_3.bin", "30729999", "30730000"});
}

TEST_CASE("a label above 9 is named with its file") {
  const TemporaryFolder folder;
  const std::string data = write_black_cifar10(folder);
  std::fstream file(data + "/test_batch.bin", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(3073 * 41);
  file.put(10);
  file.close();
  expect_failure({"--data", data}, 1, {"test_batch.bin", "10"});
}

TEST_CASE("a .gz file that is cut is named") {
  const TemporaryFolder folder;
  // A gzip header and a stored block that promises 256 bytes, of which 16 are there: the beginning of an IDX file.
  const std::string cut("\x1f\x8b\x08\0\0\0\0\0\0\x03\x01\x00\x01\xff\xfe\0\0\x08\x03\0\0\xea\x60\0\0\0\x1c\0\0\0\x1c",
                        31);
  for (const char* name : {"train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"})
    folder.write("mnist/" + std::string(name) + "-ubyte.gz", cut);
  expect_failure({"--data", folder / "mnist"}, 1, {"-ubyte.gz"});
}

TEST_CASE("a file that is no image is named") {
  const TinyImages images;
  images.folder().write("data/train/red/3.ppm", "not a picture");
  expect_failure({"--data", images.data()}, 1, {"train/red/3.ppm"});
}

TEST_CASE("an image of another number of channels is named") {
  const TinyImages images;
  images.folder().write("data/train/green/5.ppm", noisy_picture(16, 1, 0, 5));
  expect_failure({"--data", images.data()}, 1, {"train/green/5.ppm", "channel"});
}

TEST_CASE("an unknown flag is bad usage and is named") {
  expect_failure({"--learning-rate", "0.1"}, 2, {"--learning-rate"});
}

TEST_CASE("negative epochs are bad usage") { expect_failure({"--epochs", "-3"}, 2, {"--epochs", "-3"}); }

TEST_CASE("a results folder that cannot be written is found before anything else is done") {
  const TemporaryFolder folder;
  folder.write("file", "");
  expect_failure({"--out", folder / "file/run", "--data", folder / "nowhere"}, 1, {folder / "file/run"});
}

TEST_CASE("an ONNX file that cannot be written is found before the training") {
  const TemporaryFolder folder;
  const auto refused = [](const std::string& file, const std::string& reason) {
    expect_failure({"--data", "nowhere", "--export-onnx", file}, 2, {"--export-onnx " + file + reason});
  };
  refused("/nonexistent/model.onnx", " cannot be written: No such file or directory");
  refused(folder.path().string(), " is a folder: name a file such as model.onnx");
  refused("/dev/full", " is not a regular file");
}

TEST_CASE("weights that are corrupt, or of another model, are named and say what is wrong") {
  const TinyImages images;
  const std::string garbage = images.folder().write("garbage.safetensors", std::string(100, 'x'));
  expect_failure({"--data", images.data(), "--weights", garbage}, 1, {garbage});
  expect_failure({"--data", images.data(), "--weights", images / "missing"}, 1, {images / "missing"});

  const std::string other = images / "other.safetensors";
  safetensors::save(other, {{"conv1.weight", Tensor::zeros({96, 1, 3, 3})}});
  expect_failure({"--data", images.data(), "--weights", other}, 1, {other, "conv1.weight", "[96,1,3,3]", "conv2.bias"});
}

TEST_CASE("values that a flag cannot take, and flags that contradict each other, are bad usage") {
  const std::vector<Words> table = {{"--batch", "0"},
                                    {"--batch", "2.5"},
                                    {"--batch", "99999999999999999999"},
                                    {"--lr", "-0.1"},
                                    {"--lr", "nan"},
                                    {"--lr-drop", "80,"},
                                    {"--lr-drop", "80,25"},
                                    {"--momentum", "1"},
                                    {"--weight-decay", "-1"},
                                    {"--rank", "-1"},
                                    {"--hyper-lr", "inf"},
                                    {"--acts-on", "momentum"},
                                    {"--seed", "-1"},
                                    {"--seed", "99999999999999999999"},
                                    {"--out", ""},
                                    {"--export-onnx", ""},
                                    {"--resume", ""},
                                    {"--data", ""},
                                    {"--threads", "-2"},
                                    {"--threads", "100000"},
                                    {"--threads", "4294967297"},
                                    {"--workers", "x"},
                                    {"--train-samples", "-5"},
                                    {"--rule", "sdg"},
                                    {"--preconditioner", "kfac"},
                                    {"--model", "resnet"},
                                    {"--padding", "2"},
                                    {"--conv", "fft"},
                                    {"--amp", "fp16"},
                                    {"--augment"},
                                    {"--rule", "adamw", "--decay-mode", "coupled"}};
  for (const Words& words : table) {
    CAPTURE(words[0]);
    CAPTURE(words.back());
    Words all = {"--data", "nowhere"};  // so that a value that is taken by mistake starts nothing
    all.insert(all.end(), words.begin(), words.end());
    expect_failure(all, 2, {words[0]});
  }
}

TEST_CASE("a subset larger than the data set is refused with both numbers") {
  const TinyImages images;
  expect_failure({"--data", images.data(), "--train-samples", "25"}, 1, {"25", "24"});
}

}  // namespace
}  // namespace gradus::bad_input_test
