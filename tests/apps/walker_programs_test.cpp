// walker_train and walker_watch as people run them: what they print, what they leave, how they go on, their refusals.
#include <doctest/doctest.h>
#include <signal.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/common/checkpoint.h"
#include "core/file.h"
#include "core/random.h"
#include "core/safetensors.h"
#include "tests/apps/program.h"
#include "tests/apps/resumed_run.h"
#include "tests/data/temporary_folder.h"

namespace gradus::walker_programs_test {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

constexpr const char *train = "apps/walker_train", *watch = "apps/walker_watch";

Words tiny(const Words& more) {
  Words words{"--envs",    "2", "--horizon",        "64", "--epochs",   "1", "--steps",      "512",
              "--threads", "2", "--evaluate-every", "2",  "--episodes", "2", "--time-limit", "60"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

Program::Result run(const char* program, const Words& words) {
  const Program::Result result = run_program(program, words);
  CAPTURE(result.err);
  CHECK(result.exit_code == 0);
  return result;
}

void refused(const char* program, const Words& words, int exit_code, const std::string& part) {
  const Program::Result result = run_program(program, words);
  CAPTURE(result.err);
  CHECK(result.exit_code == exit_code);
  CHECK(lines_of(result.err).size() == 1);
  CHECK(result.err.find(part) != std::string::npos);
}

}  // namespace

TEST_CASE("walker_train leaves a configuration, metrics, a policy and a result for each seed") {
  const TemporaryFolder folder;
  const Program::Result result = run(train, tiny({"--seeds", "3", "4", "--out", folder / "run"}));
  CHECK(result.out.find("seed 3  iteration 4/4  512 steps") != std::string::npos);
  CHECK(result.out.find("median of 2 seeds: ") != std::string::npos);
  for (const std::string seed : {"3", "4"}) {
    const std::string run = folder / ("run/seed-" + seed + "/");
    const Json config = Json::parse(read_file(run + "config.json"));
    CHECK(config.at("optimizer") == "fop");
    CHECK(config.at("iterations") == 4);
    CHECK(lines_of(read_file(run + "metrics.csv")).size() == 5);
    CHECK(lines_of(read_file(run + "metrics.jsonl")).size() == 4);
    CHECK(Json::parse(read_file(run + "result.json")).at("episodes") == 100);
    CHECK(std::filesystem::exists(run + "best.safetensors"));
  }
  CHECK(read_file(folder / "run/seed-3/metrics.csv") != read_file(folder / "run/seed-4/metrics.csv"));
}

TEST_CASE("walker_train --json prints an object per iteration and a last one") {
  const Words lines = lines_of(run(train, tiny({"--json", "--optimizer", "adam"})).out);
  REQUIRE(lines.size() == 5);
  for (size_t i = 0; i < 4; ++i) {
    const Json row = Json::parse(lines[i]);
    CHECK(row.at("iteration") == i + 1);
    CHECK(row.at("evaluation").is_number() == (i % 2 == 1));
    CHECK(row.at("steps_per_s") > 0);
  }
  CHECK(Json::parse(lines[4]).at("final") == true);
}

TEST_CASE("interrupted, walker_train saves; the same command goes on to the bytes of an uninterrupted run") {
  const TemporaryFolder folder;
  const auto command = [&](const char* out) { return tiny({"--steps", "6400", "--json", "--out", folder / out}); };
  run(train, command("whole"));
  for (int stops = 0; stops < 8; ++stops) {
    const Program::Result stopped = caught(train, command("parts"), folder / "parts", [stops](Program& program) {
      program.next_line();
      program.signal(stops % 2 == 0 ? SIGINT : SIGTERM);
    });
    CHECK(stopped.exit_code == 130);
    CHECK(stopped.err.find("the same command goes on from here") != std::string::npos);
  }
  run(train, command("parts"));
  for (const char* file : {"metrics.csv", "metrics.jsonl", "best.safetensors", "checkpoint-50.safetensors",
                           "config.json", "result.json"}) {
    CAPTURE(std::string(file));
    CHECK(read_file(folder / (std::string("whole/seed-0/") + file)) ==
          read_file(folder / (std::string("parts/seed-0/") + file)));
  }
}

TEST_CASE("walker_train saves the checkpoint whatever the metrics do, and ends where nobody reads its output") {
  const TemporaryFolder folder;
  const Words words = tiny({"--steps", "100000000", "--json", "--out", folder / "run"});
  const std::string out = folder / "run/seed-0";
  {
    Program running(train, words);
    running.next_line();
    make_folder_at(out + "/metrics.csv.tmp");
    running.signal(SIGINT);
    const Program::Result result = running.finish();
    CHECK(result.exit_code == 130);
    CHECK(contains(result.err, "not all could be saved: [file] cannot create " + out + "/metrics.csv.tmp"));
    CHECK(contains(result.err, "interrupted; the same command goes on from here"));
    CHECK(apps::checkpoints_in(out).size() == 1);
    std::filesystem::remove_all(out + "/metrics.csv.tmp");
  }
  Program running(train, words);
  running.next_line();
  running.close_output();
  const Program::Result result = running.finish();
  CHECK(result.exit_code == 1);
  CHECK(contains(result.err, "[standard output] cannot write: Broken pipe; interrupted; the same command goes on"));
  REQUIRE(apps::checkpoints_in(out).size() == 2);
  CHECK(static_cast<int64_t>(lines_of(read_file(out + "/metrics.csv")).size()) == apps::checkpoints_in(out)[0] + 1);
}

TEST_CASE("a longer training in a finished folder has no result until it ends; a shorter one is refused by its flag") {
  const TemporaryFolder folder;
  const std::string result = folder / "run/seed-0/result.json";
  run(train, tiny({"--out", folder / "run"}));
  CHECK(std::filesystem::exists(result));
  refused(train, tiny({"--steps", "128", "--out", folder / "run"}), 1,
          "belongs to a training of 4 iterations, not 1: give it --steps 512 or more, or another folder");
  CHECK(std::filesystem::exists(result));
  Program longer(train, tiny({"--steps", "100000000", "--json", "--out", folder / "run"}));
  longer.next_line();
  CHECK(!std::filesystem::exists(result));
}

TEST_CASE("a damaged checkpoint is passed over: the training goes on from the one before, to the same bytes") {
  const TemporaryFolder folder;
  const std::string run_folder = folder / "run/seed-0/", path = run_folder + "checkpoint-4.safetensors";
  const auto command = [&](const char* steps) { return tiny({"--steps", steps, "--json", "--out", folder / "run"}); };
  run(train, command("384"));
  run(train, command("512"));
  const std::string intact = read_file(path), policy = read_file(run_folder + "best.safetensors");
  const auto expect_repair = [&](const std::string& content) {
    folder.write("run/seed-0/checkpoint-4.safetensors", content);
    const Program::Result result = run(train, command("512"));
    CHECK(contains(result.err, "passes over a damaged checkpoint: "));
    CHECK(contains(result.err, path));
    CHECK(contains(result.err, "goes on from " + run_folder + "checkpoint-3.safetensors"));
    CHECK(read_file(path) == intact);
    CHECK(read_file(run_folder + "best.safetensors") == policy);
  };
  Generator generator(8);
  for (int i = 0; i < 6; ++i) {
    const uint64_t bit = generator.below(8 * intact.size());
    CAPTURE(bit);
    std::string content = intact;
    content[bit / 8] = static_cast<char>(content[bit / 8] ^ (1 << (bit % 8)));
    expect_repair(content);
  }
  for (int i = 0; i < 4; ++i) expect_repair(intact.substr(0, generator.below(intact.size())));
  folder.write("run/seed-0/checkpoint-3.safetensors", "x");
  folder.write("run/seed-0/checkpoint-4.safetensors", "x");
  const Program::Result none = run_program(train, command("512"));
  CHECK(none.exit_code == 1);
  CHECK(contains(none.err, "none in " + (folder / "run/seed-0") + " is intact; remove them"));
}

TEST_CASE("a folder in which a training is under way, or that has results of another program, is refused") {
  const TemporaryFolder folder;
  const Words words = tiny({"--steps", "100000000", "--json", "--out", folder / "run"});
  {
    Program running(train, words);
    running.next_line();
    refused(train, words, 1, "a training is running in " + (folder / "run/seed-0") + " (process ");
  }
  run(train, tiny({"--out", folder / "other"}));
  CHECK(Json::parse(read_file(folder / "other/seed-0/config.json")).at("program") == "walker_train");
  refused("apps/cifar10_train", {"--data", "synthetic", "--out", folder / "other/seed-0"}, 2,
          "holds a run of walker_train: name another folder");
  folder.write("other/seed-0/config.json", "{\"program\": \"cifar10_train\"}");
  refused(train, tiny({"--out", folder / "other"}), 2, "holds a run of cifar10_train: name another folder");
  folder.write("other/seed-0/config.json", "{\"task\": \"bipedal walker\"}");  // as it was at first
  run(train, tiny({"--out", folder / "other"}));
}

TEST_CASE("the presets, terrains and flags reach the settings") {
  const TemporaryFolder folder;
  const auto config = [&](const Words& more) {
    Words words = tiny(more);
    words.insert(words.end(), {"--out", folder / "run"});
    run(train, words);
    const Json json = Json::parse(read_file(folder / "run/seed-0/config.json"));
    std::filesystem::remove_all(folder / "run");
    return json;
  };
  const Json zoo = config({"--preset", "zoo", "--steps", "256"});
  CHECK(zoo.at("optimizer") == "adam");
  CHECK(zoo.at("gamma") == 0.999);
  CHECK(zoo.at("clip") == 0.18);
  CHECK(zoo.at("hidden") == "64,64");
  CHECK(zoo.at("minibatch") == 64);
  CHECK(zoo.at("normalize") == true);
  CHECK(zoo.at("iterations") == 2);
  const Json hard = config({"--terrain", "hardcore", "--optimizer", "momentum", "--lidar", "v2", "--landscape", "7",
                            "--force", "2", "--jitter", "1", "--linear-decay", "--hidden", "8"});
  CHECK(hard.at("terrain") == "hardcore");
  CHECK(hard.at("lr") == 3.5e-4);
  CHECK(hard.at("lidar") == "v2");
  CHECK(hard.at("landscape") == "7");
  CHECK(hard.at("force") == 2);
  CHECK(hard.at("jitter") == 1);
  CHECK(hard.at("linear_decay") == true);
  CHECK(config({"--optimizer", "adam", "--step-delta", "1e-8"}).at("step_delta") == 1e-8);
  CHECK(config({"--terrain", "rough-obstacles"}).at("landscape") == "1");
  CHECK(config({"--terrain", "rough", "--landscape", "each"}).at("landscape") == "new in every episode");
}

TEST_CASE("walker_train notes flags that have no effect with its optimizer, and those alone") {
  const auto notes = [](Words words) {
    words.insert(words.begin(), {"--steps", "128"});
    return run(train, tiny(words)).err;
  };
  const std::string adam = notes({"--optimizer", "adam", "--hyper-lr", "1", "--momentum", "0.5"});
  CHECK(contains(adam, "--hyper-lr has no effect with --optimizer adam"));
  CHECK(contains(adam, "--momentum has no effect with --optimizer adam"));
  CHECK(contains(notes({"--preset", "zoo", "--hyper-lr", "1"}), "--hyper-lr has no effect with --optimizer adam"));
  CHECK(contains(notes({"--optimizer", "fop-adam", "--momentum", "0.5"}), "--momentum has no effect"));
  CHECK(!contains(notes({"--hyper-lr", "1e-7", "--momentum", "0.5"}), "no effect"));
  CHECK(!contains(notes({"--optimizer", "adam"}), "no effect"));
  CHECK(contains(notes({"--terrain", "poet:stump=0-1,steps=1-4"}),
                 "steps in 'poet:stump=0-1,steps=1-4' has no effect without stair"));
  CHECK(!contains(notes({"--terrain", "poet:stair=0-1,steps=1-4"}), "no effect"));
}

TEST_CASE("walker_watch draws a filmstrip, an animation and frames, of a policy and of the heuristic") {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  run(train, tiny({"--out", folder / "run"}));
  for (const char* file : {"best", "checkpoint-4"}) {
    const std::string policy = folder / (std::string("run/seed-0/") + file + ".safetensors");
    const Program::Result result = run(watch, {policy, "--out", folder / "walk.svg"});
    CHECK(result.out.find("after 60 steps") != std::string::npos);
    CHECK(result.out.find("drawn in " + (folder / "walk.svg")) != std::string::npos);
  }
  CHECK(read_file(folder / "walk.svg").starts_with("<svg"));
  run(watch, {"heuristic", "--out", folder / "walk.png"});
  CHECK(read_file(folder / "walk.png").substr(1, 3) == "PNG");
  const std::string policy = folder / "run/seed-0/best.safetensors";
  run(watch, {policy, "--every", "20", "--seed", "5", "--out", folder / "walk.gif"});
  CHECK(read_file(folder / "walk.gif").starts_with("GIF89a"));
  run(watch, {policy, "--every", "20", "--out", folder / "frames/"});
  for (const char* frame : {"00000.png", "00001.png", "00002.png", "00003.png"})
    CHECK(fs::exists(folder / (std::string("frames/") + frame)));
  CHECK(!fs::exists(folder / "frames/00004.png"));
  run(watch, {policy, "--every", "30", "--out", folder / "frames/"});  // of the one before, nothing may stay behind it
  CHECK(fs::exists(folder / "frames/00002.png"));
  CHECK(!fs::exists(folder / "frames/00003.png"));
  const Program::Result other =
      run(watch, {policy, "--terrain", "rough", "--every", "9", "--out", folder / "walk.svg"});
  CHECK(contains(other.out, "after 60 steps"));  // the time limit that it was trained with
  CHECK(contains(other.err, "--every has no effect with --out " + (folder / "walk.svg")));
}

TEST_CASE("walker_watch names a policy whose settings no training can have, and what is wrong with them") {
  const TemporaryFolder folder;
  run(train, tiny({"--out", folder / "run"}));
  const safetensors::Content content = safetensors::load(folder / "run/seed-0/best.safetensors");
  const std::string policy = folder / "changed.safetensors";
  const auto changed = [&](const char* key, const Json& value, const std::string& reason) {
    CAPTURE(key);
    Json settings = Json::parse(content.metadata.at("settings"));
    settings[key] = value;
    safetensors::save(policy, content.tensors, {{"settings", settings.dump()}});
    refused(watch, {policy, "--out", folder / "walk.svg"}, 1, "walker_watch] " + policy + ": ");
    refused(watch, {policy, "--out", folder / "walk.svg"}, 1, reason);
  };
  for (const char* landscape : {"here", "-5", "1x", "99999999999999999999"})
    changed("landscape", landscape, "is neither a whole number nor 'new in every episode'");
  changed("lidar", "v4", "the lidar is v2 or v3, not 'v4'");
  changed("iterations", -1, "the number of iterations must not be negative, got -1");
  changed("time_limit", -1, "the time limit must be at least 1 step, got -1");
  changed("envs", -4, "the number of environments must be at least 1, got -4");
  changed("force", -1, "the force must lie in [0, 1000] newtons");
  changed("terrain", "moon", "'moon'");
  changed("seed", -1, "these are no settings of a training");
  changed("hidden", "41", "");
}

TEST_CASE("input that makes no sense ends in one line and an exit code") {
  const TemporaryFolder folder;
  refused(train, {"--terrain", "moon"}, 2, "'moon' is none of stock, hardcore, rough");
  refused(train, {"--optimizer", "magic"}, 2, "magic");
  refused(train, {"--landscape", "here"}, 2, "--landscape takes a whole number below 2^64 or 'each', not 'here'");
  refused(train, {"--hidden", "a"}, 2, "'a' is not a list of layer widths");
  refused(train, {"--minibatch", "7"}, 2, "must divide the steps of an iteration");
  refused(train, {"--gamma", "2"}, 2, "gamma must lie in [0, 1]");
  refused(train, {"--hidden", "99999"}, 2, "each from 1 to 16384");
  refused(train, {"--hidden", ""}, 2, "--hidden is empty");
  for (const char* flag : {"--envs", "--horizon", "--epochs", "--minibatch", "--force", "--steps"})
    refused(train, {flag, "4611686018427387904"}, 2, "4611686018427387904 is not a number from ");
  refused(train, {"--envs", "16384", "--horizon", "2048"}, 2, "must be at most 16777216, got 16384 times 2048");
  refused(train, {"--envs", "99999999999999999999"}, 2,
          "--envs: 99999999999999999999 is not a whole number from -9223372036854775808 to 9223372036854775807");
  refused(train, {"--seeds", "-1"}, 2, "-1 is not a whole number from 0 to 18446744073709551615");
  refused(train, {"--jitter", "5.5"}, 2, "5.5 is not a number from 0 to 5");
  refused(train, {"--seeds", "0", "7", "0"}, 2, "--seeds names 0 twice");
  refused(train, {"--seeds", "1,2"}, 2, "1,2 is not a whole number: between several stand blanks");
  refused(watch, {"heuristic", "--out", folder / "walk.svg", "--seed", "-1"}, 2, "-1 is not a whole number from 0 to ");
  run(train, tiny({"--out", folder / "run"}));
  refused(train, tiny({"--gamma", "0.9", "--out", folder / "run"}), 1,
          "belongs to a training with gamma 0.99, not 0.9");
  folder.write("file", "");
  refused(train, tiny({"--out", folder / "file"}), 1, "cannot create");
  refused(watch, {"heuristic", "--out", folder / "walk.mp4"}, 2, "--out takes FILE.svg, FILE.png, FILE.gif or FOLDER/");
  refused(watch, {"heuristic", "--out", "/"}, 2, "--out / is the root of the file system: name a folder");
  refused(watch, {"heuristic", "--out", folder / "walk.gif", "--every", "32768"}, 2,
          "32768 is not a number from 1 to 32767");
  refused(watch, {folder / "nowhere", "--out", folder / "walk.svg"}, 1, "nowhere");
  refused(watch, {"heuristic", "--terrain", "moon", "--out", folder / "walk.svg"}, 2, "'moon'");
}

}  // namespace gradus::walker_programs_test
