// What a training keeps where its disk is full for a while, or where nobody reads its output any more.
#include <doctest/doctest.h>
#include <signal.h>

#include <filesystem>

#include "apps/common/checkpoint.h"
#include "tests/apps/program.h"
#include "tests/apps/tiny_images.h"
#include "tests/data/temporary_folder.h"

namespace gradus::saving_test {
namespace {

const char* const program = "apps/cifar10_train";

std::vector<std::string> long_run(const TinyImages& images, const std::string& out) {
  return {"--data",   images.data(), "--batch", "10", "--threads",        "2",    "--model",      "mlp", "--json",
          "--epochs", "100000",      "--out",   out,  "--preconditioner", "none", "--tensorboard"};
}

TEST_CASE("metrics that cannot be written for a while end no training; the next success writes them") {
  const TinyImages images;
  const std::string out = images / "run", obstacle = out + "/metrics.csv.tmp";
  Program running(program, long_run(images, out));
  running.next_line();
  make_folder_at(obstacle);
  const auto pass_lines = [&] {
    for (int i = 0; i < 5; ++i) REQUIRE(!running.next_line().empty());
  };
  pass_lines();
  std::filesystem::remove_all(obstacle);
  pass_lines();
  running.signal(SIGINT);
  const Program::Result result = running.finish();
  CHECK(result.exit_code == 130);
  CHECK(contains(result.err, "metrics are not saved after step "));
  CHECK(contains(result.err, "the training goes on: [file] cannot create " + obstacle));
  const std::vector<int64_t> steps = apps::checkpoints_in(out);
  REQUIRE(!steps.empty());
  const std::string metrics = apps::load_checkpoint(apps::checkpoint_path(out, steps[0])).text("metrics.csv");
  CHECK(read_file(out + "/metrics.csv") == metrics);
  CHECK(lines_of(read_file(out + "/timing.jsonl")).size() + 1 == lines_of(metrics).size());
}

TEST_CASE("a training whose output nobody reads any more saves, says how to go on, and ends") {
  const TinyImages images;
  const std::string out = images / "run";
  Program running(program, long_run(images, out));
  running.next_line();
  running.close_output();
  const Program::Result result = running.finish();
  CHECK(result.exit_code == 1);
  CHECK(contains(result.err, "[standard output] cannot write: Broken pipe; interrupted after "));
  CHECK(contains(result.err, "to go on: --resume " + out));
  CHECK(std::filesystem::exists(out + "/weights.safetensors"));
  const std::vector<int64_t> steps = apps::checkpoints_in(out);
  REQUIRE(!steps.empty());
  const apps::Checkpoint last = apps::load_checkpoint(apps::checkpoint_path(out, steps[0]));
  CHECK(last.integer("epoch") >= 2);  // whose line found no reader
  CHECK(lines_of(last.text("metrics.jsonl")).size() == static_cast<size_t>(last.integer("epoch")));
}

}  // namespace
}  // namespace gradus::saving_test
