// Damaged files of the programs: checkpoints, weights, configurations, and the ledger of finished trainings.
#include <cmath>

#include "apps/common/checkpoint.h"
#include "apps/common/command_line.h"
#include "apps/common/resume.h"
#include "apps/common/training_run.h"
#include "apps/reproduce/inspect.h"
#include "apps/reproduce/ledger.h"
#include "core/json.h"
#include "core/safetensors.h"
#include "tests/apps/readers.h"
#include "tests/apps/tiny_training.h"

using namespace gradus;
using namespace gradus::apps;

namespace {

/// The training's checkpoint with all that a run's has.
Checkpoint whole_checkpoint(const TinyTraining& training) {
  Checkpoint checkpoint = apps::checkpoint_of(training.model, training.optimizer, training.state);
  checkpoint.metadata.merge(std::map<std::string, std::string>{{"seed", "4"},
                                                               {"lr", "0.1"},
                                                               {"rollbacks", "0"},
                                                               {"failed_at", "0"},
                                                               {"metrics.jsonl", "{\"epoch\": 1}\n"},
                                                               {"metrics.csv", "epoch\n1\n"}});
  return checkpoint;
}

/// Bad usage, too, is one line for the user, who has named the folder.
void with_usage_errors(const std::string& path, const std::function<void()>& work) {
  try {
    work();
  } catch (const UsageError& error) {
    fail(ErrorKind::value, "usage", path, ": ", mutation::on_one_line(error.what()));
  }
}

/// While it lives, what is printed goes nowhere, unless one variant is looked at.
class Silence {
 public:
  Silence() : out_(dup(1)), err_(dup(2)) {
    std::fflush(nullptr);
    if (std::getenv("GRADUS_VARIANT") != nullptr) return;
    for (int to : {1, 2}) REQUIRE(std::freopen("/dev/null", "w", to == 1 ? stdout : stderr) != nullptr);
  }
  ~Silence() {
    std::fflush(nullptr);
    dup2(out_, 1);
    dup2(err_, 2);
    close(out_);
    close(err_);
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  int out_, err_;
};

}  // namespace

TEST_CASE("a damaged checkpoint is restored or named, also where its checksum fits") {
  const TemporaryFolder folder;
  const std::string path = folder / "checkpoint-5.safetensors";
  TinyTraining training, other;
  training.epoch();
  const Checkpoint valid = whole_checkpoint(training);
  write_checkpoint(path, valid);
  checkpoint_campaigns("checkpoint", path, [&](const Checkpoint& checkpoint) {
    restore(checkpoint, other.model, other.optimizer, other.state);
    try {
      other.epoch();
    } catch (const Error& error) {  // training on is no matter of the file
      if (mutation::has_control_character(error.what())) throw;
    }
  });
}

TEST_CASE("damaged weights are loaded or named") {
  const TemporaryFolder folder;
  const std::string path = folder / "weights.safetensors";
  TinyTraining training, other;
  TrainingFlags flags;
  flags.weights = path;
  safetensors::save(path, training.model.state());
  mutation::campaign({.name = "weights",
                      .valid = read_file(path),
                      .read =
                          [&](const std::string& bytes) {
                            folder.write("weights.safetensors", bytes);
                            load_weights(flags, "tiny", other.model, false);
                          },
                      .file = path,
                      .words = tensor_words,
                      .share = 2,
                      .longest_message = 1500});
}

TEST_CASE("a damaged configuration is resumed from or named") {
  const TemporaryFolder folder;
  TinyTraining training;
  training.epoch();
  save_checkpoint(folder.path(), training.state.step, whole_checkpoint(training));
  TrainingFlags written;
  written.resolve();
  const auto record = [](const TrainingFlags& flags) {
    Record all = {{"program", "cifar10_train"}, {"data", "/nowhere"}};
    all.add(flags.record());
    return all;
  };
  RunDirectory(folder.path()).save_config(record(written));
  std::vector<std::string> words = mutation::json_words();
  words.insert(words.end(), {"\"program\"", "\"data\": \"" + std::string(5000, 'd') + "\"", "\"epochs\": 9", "\"rule\"",
                             "\"schedule\": \"cosine\"", "\"preconditioner\": \"fop-norm\"", "none"});
  mutation::campaign({.name = "configuration",
                      .valid = read_file(folder / "config.json"),
                      .read =
                          [&](const std::string& bytes) {
                            folder.write("config.json", bytes);
                            const Silence silence;
                            with_usage_errors(folder.path(), [&] {
                              CommandLine line("a test", "", "cifar10_train");
                              TrainingFlags flags;
                              std::string data;
                              line.add("--data", data, "where the data is");
                              flags.add_to(line);
                              flags.out = flags.resume = folder.path();
                              take_flags_from(folder.path(), line);
                              flags.resolve();
                              const Start start = start_run(flags, {{"program", "cifar10_train"}, {"data", "auto"}});
                              check_program(*start.directory, "cifar10_train");
                              check_same_run(*start.directory, record(flags));
                              flags.make_optimizer(training.model.parameters(), 3);
                            });
                          },
                      .file = folder.path(),
                      .words = words,
                      .share = 2,
                      .memory = size_t{256} << 20});
}

TEST_CASE("a damaged checkpoint of a run is started from or named") {
  const TemporaryFolder folder;
  TinyTraining training;
  training.epoch();
  const std::string path = checkpoint_path(folder.path(), training.state.step);
  write_checkpoint(path, whole_checkpoint(training));
  RunDirectory(folder.path()).save_config({{"program", "x"}, {"epochs", 1}});
  safetensors::save(folder / "weights.safetensors", {}, {{"complete", "true"}, {"step", "4"}});
  checkpoint_campaigns("checkpoint of a run", path, [&](const Checkpoint&) {
    const Silence silence;
    with_usage_errors(path, [&] {
      TrainingFlags flags;
      flags.out = flags.resume = folder.path();
      flags.json = true;
      try {
        start_run(flags, {{"program", "x"}, {"data", "auto"}});
      } catch (const Error& error) {
        if (mutation::on_one_line(error.what()).find(folder.path()) == std::string::npos) throw;
        fail(error.kind(), "test", path, ": ", error.what());  // the folder's name will do
      }
    });
  });
}

TEST_CASE("a damaged training in the ledger is read or named") {
  const TemporaryFolder folder;
  const reproduce::Ledger ledger(folder.path());
  reproduce::Outcome outcome{.values = {{"final_accuracy", 0.5}, {"angle", std::nan("")}},
                             .series = {},
                             .diverged = "",
                             .seconds = 1.5,
                             .threads = 2};
  for (double step : {1, 2}) outcome.add("accuracy", {"step", "loss"}, {step, 0.25});
  ledger.add("key", {{"lr", 0.1}, {"text", "a\nb"}}, outcome);
  const std::string path = folder / "ledger/key.json";
  std::vector<std::string> words = mutation::json_words();
  words.insert(words.end(), {"\"values\"", "\"series\": {\"a\": {\"columns\": [], \"rows\": [[]]}}", "[[1]]", "[[]]"});
  mutation::campaign({.name = "ledger",
                      .valid = read_file(path),
                      .read =
                          [&](const std::string& bytes) {
                            folder.write("ledger/key.json", bytes);
                            const std::optional<reproduce::Outcome> found = ledger.find("key");
                            for (const auto& [name, series] : found->series)
                              for (const std::vector<double>& row : series.rows)
                                if (row.empty() || row.size() != series.columns.size())
                                  throw std::runtime_error("a row does not fit its columns");
                            reproduce::Outcome::parse(found->json());
                          },
                      .file = path,
                      .words = words,
                      .share = 4});
}

TEST_CASE("a damaged checkpoint is inspected or named") {
  const TemporaryFolder folder;
  const std::string path = folder / "checkpoint-5.safetensors";
  TinyTraining training;
  training.epoch();
  write_checkpoint(path, whole_checkpoint(training));
  folder.write("config.json", R"({"preconditioner": "fop", "form": "auto", "rank": 0})");
  checkpoint_campaigns("inspected checkpoint", path, [&](const Checkpoint&) {
    const Silence silence;
    reproduce::inspect({.path = path, .out = {}, .json = true});
  });
}
