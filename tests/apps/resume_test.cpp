// --resume and what surrounds it, on the program as people run it.
#include "apps/common/resume.h"

#include <doctest/doctest.h>

#include <sys/resource.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "apps/common/checkpoint.h"
#include "apps/common/device_flags.h"
#include "core/safetensors.h"
#include "tests/apps/resumed_run.h"
#include "tests/apps/tiny_images.h"

namespace gradus::resume_test {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

const char* const program = "apps/cifar10_train";

Words tiny_run(const TinyImages& images, const std::string& out, const Words& more) {
  Words words = {"--data", images.data(), "--batch", "10", "--threads", "2", "--out", out};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

Program::Result train(const Words& words, int exit_code = 0) {
  Program::Result result = run_program(program, words);
  CAPTURE(result.err);
  CHECK(result.exit_code == exit_code);
  if (exit_code != 0) CHECK(lines_of(result.err).size() == 1);
  return result;
}

const Words everything = {"--epochs",
                          "12",
                          "--augment",
                          "standard",
                          "--schedule",
                          "cosine",
                          "--warmup",
                          "1",
                          "--ema",
                          "0.9",
                          "--rule",
                          "adam",
                          "--lr",
                          "1e-3",
                          "--model",
                          "all_cnn",
                          "--clip-norm",
                          "1",
                          "--checkpoint-every",
                          "5"};

TEST_CASE("killed or interrupted at random moments and resumed, a run ends with the bytes of one that was not") {
  const TinyImages images;
  train(tiny_run(images, images / "whole", everything));
  CHECK(results_of(images / "whole").size() == 8);  // with three checkpoints: the last is not due
  for (int signal : {SIGKILL, SIGINT, SIGTERM}) {
    const std::string out = images / ("parts" + std::to_string(signal));
    train_with_stops(program, tiny_run(images, out, everything), out, signal, 2, static_cast<uint64_t>(signal));
    CHECK(differences(images / "whole", out) == "");
    CHECK(lines_of(read_file(out + "/timing.jsonl")).size() == 12);
  }
}

TEST_CASE("a complete run says so, exits with 0 and stays as it is, also where its data is gone") {
  const TinyImages images;
  const std::string out = images / "run";
  const Words last = lines_of(train(tiny_run(images, out, {"--epochs", "2", "--json"})).out);
  const auto before = results_of(out);
  std::filesystem::remove_all(images.data());
  CHECK(contains(train({"--resume", out}).out, "the run in " + out + " is complete: 2 epochs, 6 steps"));
  const Json again = Json::parse(train({"--resume", out, "--json"}).out);
  CHECK(again.at("final") == true);
  CHECK(again.at("test_loss") == Json::parse(last.back()).at("test_loss"));
  CHECK(results_of(out) == before);
}

TEST_CASE("a complete run still exports its model where that was not done") {
  const TinyImages images;
  const std::string out = images / "run", model = images / "model.onnx";
  train(tiny_run(images, out, {"--epochs", "1"}));
  const auto before = results_of(out);
  CHECK(contains(train({"--resume", out, "--export-onnx", model}).out, "exported " + model));
  CHECK(std::filesystem::exists(model));
  CHECK(results_of(out) == before);
}

TEST_CASE("weights that are missing or damaged after a complete run are written again") {
  const TinyImages images;
  const std::string out = images / "run", weights = "run/weights.safetensors";
  train(tiny_run(images, out, {"--epochs", "1"}));
  const auto before = results_of(out);
  for (const char* content : {"", "damage"}) {
    images.folder().write(weights, content);
    train({"--resume", out});
    CHECK(results_of(out) == before);
  }
}

TEST_CASE("a damaged checkpoint is passed over with a warning, and the one before gives the same bytes in the end") {
  const TinyImages images;
  const std::string out = images / "run";
  train(tiny_run(images, out, {"--epochs", "3"}));
  const auto before = results_of(out);
  const std::string newest = out + "/checkpoint-9.safetensors";
  std::filesystem::resize_file(newest, std::filesystem::file_size(newest) - 1);
  const Program::Result result = train({"--resume", out});
  CHECK(contains(lines_of(result.err).at(0), "passes over a damaged checkpoint: "));
  CHECK(contains(lines_of(result.err).at(0), newest));
  CHECK(contains(result.out, "goes on after 6 steps, in epoch 3"));
  CHECK(results_of(out) == before);
}

TEST_CASE("without a checkpoint a resumed run begins afresh, also where it only got as far as its configuration") {
  const TinyImages images;
  const std::string out = images / "run";
  train(tiny_run(images, out, {"--epochs", "1"}));
  const auto before = results_of(out);
  for (const auto& [name, content] : before)
    if (name != "config.json") std::filesystem::remove(out + "/" + name);
  CHECK(contains(train({"--resume", out}).out, "no checkpoint yet: trains from the beginning"));
  CHECK(results_of(out) == before);

  const std::string early = images / "early";
  std::filesystem::rename(images.data(), images / "away");
  train(tiny_run(images, early, {"--epochs", "1"}), 1);
  std::filesystem::rename(images / "away", images.data());
  train({"--resume", early, "--data", images.data()});
  CHECK(results_of(early) == before);
}

TEST_CASE("every flag is in the configuration, but for those that a run is not made of") {
  const TinyImages images;
  train(tiny_run(images, images / "run", {"--epochs", "0"}));
  const Json config = Json::parse(read_file(images / "run/config.json"));
  const std::string help = run_program(program, {"--help"}).out;
  const std::regex flag("\n  (?:-h,)?--([a-z0-9-]+)");
  std::string missing;
  for (auto it = std::sregex_iterator(help.begin(), help.end(), flag); it != std::sregex_iterator(); ++it) {
    std::string name = (*it)[1];
    std::replace(name.begin(), name.end(), '-', '_');
    if (!config.contains(name)) missing += name + " ";
  }
  CHECK(missing == "help out resume json ");
}

TEST_CASE("flags beside --resume may repeat what the run has, and say nothing else") {
  const TinyImages images;
  const std::string out = images / "run";
  train(tiny_run(images, out, {"--epochs", "2", "--lr", "0.05"}));
  train({"--resume", out, "--lr", "5e-2", "--out", out + "/", "--data", images.data() + "/.", "--json", "--workers",
         "3"});
  const std::vector<Words> table = {{"--lr", "0.1", "0.05"},        {"--batch", "12", "10"},
                                    {"--rule", "adam", "momentum"}, {"--out", images / "other", out},
                                    {"--weights", "w", "none"},     {"--quick", "true", "false"}};
  for (const Words& row : table) {
    const Words words = row[0] == "--quick" ? Words{row[0]} : Words{row[0], row[1]};
    Words all = {"--resume", out};
    all.insert(all.end(), words.begin(), words.end());
    CHECK(contains(train(all, 2).err,
                   row[0] + " " + row[1] + " contradicts --resume " + out + ", whose run has " + row[2]));
  }
}

namespace {

/// All that a run may have whose learning rates do not depend on its length.
const Words stepwise = {"--augment", "standard", "--lr-drop", "2,4",  "--warmup", "1",       "--ema",       "0.9",
                        "--rule",    "adam",     "--lr",      "1e-3", "--model",  "all_cnn", "--clip-norm", "1"};

Words with_epochs(Words words, const std::string& epochs) {
  words.insert(words.end(), {"--epochs", epochs});
  return words;
}

}  // namespace

TEST_CASE(
    "a complete run that is resumed with more epochs ends with the bytes of one that was asked for them at first") {
  const TinyImages images;
  const std::string out = images / "run", whole = images / "whole";
  train(tiny_run(images, whole, with_epochs(stepwise, "5")));
  train(tiny_run(images, out, with_epochs(stepwise, "3")));
  const std::string earlier = read_file(out + "/weights.safetensors");
  CHECK(contains(train({"--resume", out}).out, "3 epochs, 9 steps; to train on, name more with --epochs"));
  const Program::Result result = train({"--resume", out, "--epochs", "5"});
  CHECK(contains(result.out, "goes on after 9 steps, in epoch 4"));
  CHECK(contains(result.out, "epoch 4/5"));
  CHECK(differences(whole, out) == "");
  CHECK(lines_of(read_file(out + "/timing.jsonl")).size() == 5);
  CHECK(contains(train({"--resume", out}).out, "is complete: 5 epochs"));

  // Killed before it has its weights, a longer training still has those of the shorter one.
  images.folder().write("run/weights.safetensors", earlier);
  train({"--resume", out});
  CHECK(differences(whole, out) == "");
}

TEST_CASE("a longer training that is stopped goes on by --resume alone") {
  const TinyImages images;
  const std::string out = images / "run", shorter = images / "shorter";
  train(tiny_run(images, images / "whole", with_epochs(stepwise, "6")));
  train(tiny_run(images, shorter, with_epochs(stepwise, "2")));
  for (int signal : {SIGKILL, SIGINT}) {
    int exit_code = 0;
    for (int attempt = 0; exit_code == 0 && attempt < 20; ++attempt) {
      std::filesystem::remove_all(out);
      std::filesystem::copy(shorter, out);
      Program running(program, {"--resume", out, "--epochs", "6"});
      while (!running.next_line().starts_with("epoch ")) {
      }
      running.signal(signal);
      exit_code = running.finish().exit_code;
    }
    REQUIRE(exit_code == (signal == SIGKILL ? -1 : 130));
    train({"--resume", out});
    CHECK(lines_of(read_file(out + "/metrics.jsonl")).size() == 6);
    CHECK(read_file(out + "/weights.safetensors") == read_file(images / "whole/weights.safetensors"));
    CHECK(read_file(out + "/metrics.csv") == read_file(images / "whole/metrics.csv"));
  }
}

TEST_CASE("a run may be made shorter as long as what it leaves out has not begun") {
  const TinyImages images;
  const std::string out = images / "run";
  train(tiny_run(images, images / "whole", with_epochs(stepwise, "2")));
  train(tiny_run(images, out, with_epochs(stepwise, "3")));
  CHECK(contains(train({"--resume", out, "--epochs", "2"}, 2).err,
                 "--epochs 2: the run in " + out + " has begun epoch 3 already; name at least 3"));
  std::filesystem::remove(out + "/checkpoint-9.safetensors");
  train({"--resume", out, "--epochs", "2"});
  CHECK(differences(images / "whole", out) == "checkpoint-3.safetensors ");  // which nobody kept
}

TEST_CASE("where learning rates depend on the number of epochs, another number is refused") {
  const TinyImages images;
  for (const std::string schedule : {"cosine", "linear"}) {
    const std::string out = images / schedule;
    train(tiny_run(images, out, {"--epochs", "2", "--schedule", schedule}));
    const auto before = results_of(out);
    const std::string error = train({"--resume", out, "--epochs", "3"}, 2).err;
    CHECK(contains(error, "--epochs 3 contradicts --resume " + out + ", where --schedule " + schedule +
                              " has set the learning rates for 2 epochs"));
    CHECK(contains(error, "--weights " + out + "/weights.safetensors"));
    CHECK(contains(train({"--resume", out, "--epochs", "2"}).out, "is complete: 2 epochs, 6 steps\n"));
    CHECK(results_of(out) == before);
  }
}

TEST_CASE("folders without a run, of another program, with a damaged configuration, and other data are refused") {
  const TinyImages images;
  CHECK(contains(train({"--resume", images / "none"}, 1).err, "there is no run in " + images / "none"));
  CHECK(!std::filesystem::exists(images / "none"));
  images.folder().write("broken/config.json", "{\"program\": ");
  CHECK(contains(train({"--resume", images / "broken"}, 1).err, "broken/config.json is not a configuration"));
  images.folder().write("broken/config.json", "{\"program\": \"cifar10_train\", \"batch\": \"many\"}");
  const std::string error = train({"--resume", images / "broken"}, 1).err;
  CHECK(contains(error, "broken/config.json is damaged (--batch: many "));
  CHECK(contains(error, "put it back as it was, or train without --resume"));
  images.folder().write("other/config.json", "{\"program\": \"imagenet_train\"}");
  CHECK(contains(train({"--resume", images / "other"}, 2).err, "that is a run of imagenet_train"));

  const std::string out = images / "run";
  train(tiny_run(images, out, {"--epochs", "2"}));
  std::filesystem::remove(out + "/checkpoint-6.safetensors");
  images.folder().write("data/train/red/0.ppm", noisy_picture(16, 3, 1, 5));
  CHECK(contains(train({"--resume", out}, 1).err, "the run in " + out + " was made with train_md5 "));
}

TEST_CASE("data that was moved is named with --data, which is on record from then on") {
  const TinyImages images;
  const std::string out = images / "run", moved = images / "moved";
  train(tiny_run(images, out, {"--epochs", "2"}));
  const auto before = results_of(out);
  std::filesystem::remove(out + "/weights.safetensors");
  std::filesystem::rename(images.data(), moved);
  CHECK(contains(train({"--resume", out}, 1).err, "is not in " + images.data() + ": name where it is now with --data"));
  train({"--resume", out, "--data", moved});
  CHECK(Json::parse(read_file(out + "/config.json")).at("data") == moved);
  std::filesystem::remove(out + "/weights.safetensors");
  train({"--resume", out});
  CHECK(read_file(out + "/weights.safetensors") == before.at("weights.safetensors"));
  CHECK(read_file(out + "/metrics.csv") == before.at("metrics.csv"));
}

TEST_CASE("a folder in which a training is under way is refused, and so is a checkpoint of another seed") {
  const TinyImages images;
  const std::string out = images / "run", other = images / "other";
  {
    Program running(program, tiny_run(images, other, {"--epochs", "100000"}));
    while (!running.next_line().starts_with("epoch ")) {
    }
    for (const Words& words : {tiny_run(images, other, {"--seed", "1"}), Words{"--resume", other}})
      CHECK(contains(train(words, 1).err, "a training is running in " + other + " (process "));
  }
  std::filesystem::remove_all(other);
  train(tiny_run(images, out, {"--epochs", "2"}));
  train(tiny_run(images, other, {"--epochs", "1", "--seed", "1"}));
  std::filesystem::rename(other + "/checkpoint-3.safetensors", out + "/checkpoint-3.safetensors");
  std::filesystem::remove(out + "/checkpoint-6.safetensors");
  std::filesystem::remove(out + "/weights.safetensors");
  CHECK(contains(train({"--resume", out}, 1).err,
                 "checkpoint-3.safetensors is of a training with seed 1, but the run in this folder has 0"));
}

TEST_CASE("interrupted without --out, a run is kept in the cache and goes on from there") {
  const TinyImages images;
  const Words words = {"--data", images.data(), "--epochs", "8", "--batch", "10", "--threads", "2"};
  const Program::Result stopped = caught(program, words, images / "cache", [](Program& running) {
    while (!running.next_line().starts_with("epoch ")) {
    }
    running.signal(SIGINT);
  });
  CHECK(stopped.exit_code == 130);
  const size_t at = stopped.err.find("--resume ");
  REQUIRE(at != std::string::npos);
  const std::string folder = lines_of(stopped.err.substr(at + 9)).at(0);
  CHECK(contains(folder, images / "cache/interrupted/cifar10_train"));
  train({"--resume", folder});

  train(tiny_run(images, images / "whole", {"--epochs", "8"}));
  CHECK(read_file(folder + "/metrics.csv") == read_file(images / "whole/metrics.csv"));
  CHECK(read_file(folder + "/weights.safetensors") == read_file(images / "whole/weights.safetensors"));
}

namespace {

/// But for the note by which a GPU says that it captures no steps here.
Words lines_of_training(const std::string& text) {
  Words lines = lines_of(text);
  std::erase_if(lines, [](const std::string& line) { return contains(line, "steps are not captured"); });
  return lines;
}

}  // namespace

TEST_CASE(
    "--on-nonfinite rollback goes back to the last checkpoint with half the learning rate, also across an interrupt") {
  const TinyImages images;
  const Words words = {"--model", "mlp", "--rule",   "sgd", "--preconditioner", "none",
                       "--lr",    "20",  "--epochs", "8",   "--on-nonfinite",   "rollback"};
  const Program::Result result = train(tiny_run(images, images / "whole", words));
  CHECK(contains(lines_of_training(result.err).at(0), "is not finite in epoch"));
  CHECK(contains(result.err, "goes back to step "));
  CHECK(contains(result.err, "with the learning rate 10"));
  train_with_stops(program, tiny_run(images, images / "parts", words), images / "parts", SIGINT, 2, 1);
  CHECK(differences(images / "whole", images / "parts") == "");

  const Program::Result hopeless = run_program(
      program, tiny_run(images, images / "hopeless",
                        {"--model", "mlp", "--preconditioner", "none", "--lr", "1e30", "--on-nonfinite", "rollback"}));
  CHECK(hopeless.exit_code == 1);
  CHECK(lines_of_training(hopeless.err).size() == 11);
}

TEST_CASE("--on-nonfinite skip says what it leaves out, and counts it") {
  const TinyImages images;
  const Program::Result result = run_program(program, tiny_run(images, images / "run",
                                                               {"--model", "mlp", "--preconditioner", "none", "--lr",
                                                                "1e30", "--on-nonfinite", "skip", "--epochs", "2"}));
  CHECK(result.exit_code == 1);
  const Words lines = lines_of_training(result.err);
  CHECK(contains(lines.at(0), "batch 2: the output of fc"));
  CHECK(contains(lines.at(0), "; the batch is left out"));
  CHECK(contains(lines.back(), "no batch of epoch 2 could be learned from"));
  CHECK(Json::parse(read_file(images / "run/metrics.jsonl")).at("skipped") == 2);
}

TEST_CASE("--ema adds the average's results and weights") {
  const TinyImages images;
  const Program::Result result =
      train(tiny_run(images, images / "run", {"--epochs", "2", "--ema", "0.5", "--lr", "0.2", "--json"}));
  const Json last = Json::parse(lines_of(result.out).back());
  CHECK(last.at("ema_test_loss") != last.at("test_loss"));
  CHECK(last.at("peak_rss_mb").get<double>() > 10);
  const Words weights = {"--weights", images / "run/weights.ema.safetensors", "--epochs", "0", "--json"};
  const Json evaluated = Json::parse(train(tiny_run(images, images / "average", weights)).out);
  CHECK(evaluated.at("test_loss") == last.at("ema_test_loss"));
}

TEST_CASE("a checkpoint that cannot be written is told, the weights are saved all the same, and the one before stays") {
  const TinyImages images;
  const std::string out = images / "run";
  train(tiny_run(images, out, {"--epochs", "1"}));
  std::filesystem::remove(out + "/weights.safetensors");
  std::filesystem::remove(out + "/checkpoint-3.safetensors");
  // A folder stands where the checkpoint is to be written.
  images.folder().write("run/checkpoint-3.safetensors.tmp/file", "");
  const Program::Result result = run_program(program, {"--resume", out});
  CHECK(result.exit_code == 1);
  const Words lines = lines_of(result.err);
  REQUIRE(lines.size() == 2);
  CHECK(contains(lines[0], "no checkpoint after step 3, the training goes on: "));
  CHECK(contains(lines[1], "[training] not all could be saved: "));
  for (const std::string& line : lines) CHECK(contains(line, "checkpoint-3.safetensors"));
  CHECK(std::filesystem::exists(out + "/weights.safetensors"));
  CHECK(!contains(result.out, "saved in"));
}

/// While one lives, no file grows beyond so many bytes: to those who write it is a full disk.
class SizeLimit {
 public:
  explicit SizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit = {bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    handler_ = signal(SIGXFSZ, SIG_IGN);
  }
  ~SizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }
  SizeLimit(const SizeLimit&) = delete;
  SizeLimit& operator=(const SizeLimit&) = delete;

 private:
  rlimit before_ = {};
  void (*handler_)(int) = SIG_DFL;
};

TEST_CASE("interrupted where the disk has room for the weights alone, a run saves those and says so") {
  const TinyImages images;
  const std::string out = images / "run";
  const SizeLimit limit(9000000);  // the weights take 7.1 MB, and a checkpoint has the momentum too
  const Program::Result result =
      caught(program, tiny_run(images, out, {"--model", "mlp", "--preconditioner", "none", "--epochs", "1000"}), out,
             [](Program& running) {
               running.next_line();
               std::this_thread::sleep_for(std::chrono::milliseconds(500));
               running.signal(SIGINT);
             });
  CAPTURE(result.err);
  CHECK(result.exit_code == 130);
  CHECK(contains(result.err, "not all could be saved: "));
  CHECK(contains(result.err, "interrupted after "));
  CHECK(contains(result.err, "to begin again: --resume "));
  CHECK(std::filesystem::exists(out + "/weights.safetensors"));
  CHECK(apps::checkpoints_in(out).empty());
}

TEST_CASE("other weights than a run began from are refused, and the same in another place are not") {
  const TinyImages images;
  const Words small = {"--model", "mlp", "--preconditioner", "none", "--epochs", "1"};
  for (const char* name : {"a", "b"}) {
    Words words = tiny_run(images, images / name, small);
    words.insert(words.end(), {"--seed", name == std::string("a") ? "1" : "2"});
    train(words);
  }
  const std::string out = images / "run", a = images / "a/weights.safetensors", b = images / "b/weights.safetensors";
  Words words = tiny_run(images, out, small);
  words.insert(words.end(), {"--weights", a});
  train(words);
  CHECK(contains(train({"--resume", out, "--epochs", "2", "--weights", b}, 1).err, "was made with weights_md5"));
  const std::string moved = images / "moved.safetensors";
  std::filesystem::rename(a, moved);
  train({"--resume", out, "--epochs", "2", "--weights", moved});
  std::filesystem::copy(b, moved, std::filesystem::copy_options::overwrite_existing);
  train({"--resume", out, "--epochs", "3"});  // which reads no weights any more
}

TEST_CASE("what is no path stays as it is in the configuration, and paths become absolute") {
  const TemporaryFolder folder;
  folder.write("synthetic/file", "");
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder / ".");
  const std::string here = std::filesystem::current_path().string();
  CHECK(apps::recorded_data("synthetic") == "synthetic");
  CHECK(apps::recorded_data("auto") == "auto");
  CHECK(apps::recorded_path("synthetic") == here + "/synthetic");
  const auto plans = [](const std::string& name) {
    apps::DeviceFlags flags;
    flags.plans = name;
    return Json::parse(flags.record().json()).at("plans").get<std::string>();
  };
  CHECK(plans("measure") == "measure");
  CHECK(plans("") == "");
  CHECK(plans("plans.txt") == here + "/plans.txt");
  std::filesystem::current_path(before);
}

}  // namespace
}  // namespace gradus::resume_test
