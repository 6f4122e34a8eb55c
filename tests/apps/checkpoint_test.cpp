#include "apps/common/checkpoint.h"

#include <doctest/doctest.h>

#include "apps/common/resume.h"
#include "core/safetensors.h"
#include "tests/apps/tiny_training.h"
#include "tests/data/temporary_folder.h"

namespace gradus::apps {
namespace {

using Steps = std::vector<int64_t>;

Checkpoint checkpoint_of(const TinyTraining& training) {
  return apps::checkpoint_of(training.model, training.optimizer, training.state);
}

void fail_on_warning(const std::string& line) { FAIL(line); }

TEST_CASE("a training that is restored in the middle of an epoch goes on as if nothing had been") {
  const TemporaryFolder folder;
  TinyTraining whole;
  std::optional<Score> expected;
  train_epoch(whole.model, whole.optimizer, whole.loader, whole.state, [&](const Score&) {
    if (whole.state.step == 2) save_checkpoint(folder.path(), 2, checkpoint_of(whole));
    return true;
  });
  expected = whole.epoch();

  TinyTraining other(0.7);
  other.epoch();
  restore(*newest_checkpoint(folder.path(), fail_on_warning), other.model, other.optimizer, other.state);
  CHECK(other.state.batch == 2);
  CHECK(other.state.score.images == 12);
  other.epoch();
  CHECK(other.epoch()->loss_sum == expected->loss_sum);
  CHECK(other.weights() == whole.weights());
  const StateDict slots = other.optimizer.state();
  for (const auto& [name, tensor] : whole.optimizer.state()) {
    const std::string slot = name;
    CAPTURE(slot);
    write_checkpoint(folder / "expected", {{{"one", tensor}}, {}});
    write_checkpoint(folder / "found", {{{"one", slots.at(name)}}, {}});
    CHECK(read_file(folder / "expected") == read_file(folder / "found"));
  }
}

TEST_CASE("the last two that were due are kept, and what is newer than the first of them") {
  const TemporaryFolder folder;
  const Checkpoint any{{{"one", Tensor::ones({2})}}, {}};
  CHECK(checkpoints_in(folder.path()).empty());
  CHECK(checkpoints_in(folder / "missing").empty());
  for (int64_t step : {10, 20, 30}) save_checkpoint(folder.path(), step, any, 10);
  CHECK(checkpoints_in(folder.path()) == Steps{30, 20});
  for (int64_t step : {34, 37}) save_checkpoint(folder.path(), step, any, 10);
  CHECK(checkpoints_in(folder.path()) == Steps{37, 34, 30, 20});
  folder.write("checkpoint-38.safetensors.tmp", "half of a file");
  for (const char* other : {"checkpoint-.safetensors", "checkpoint-08.safetensors", "checkpoint-x.safetensors"})
    folder.write(other, "");
  save_checkpoint(folder.path(), 40, any, 10);
  CHECK(checkpoints_in(folder.path()) == Steps{40, 37, 34, 30});
  CHECK(!std::filesystem::exists(folder / "checkpoint-38.safetensors.tmp"));
  CHECK(newest_checkpoint(folder.path(), fail_on_warning)->path == checkpoint_path(folder.path(), 40));
  save_checkpoint(folder.path(), 45, any, 10);
  CHECK(newest_checkpoint(folder.path(), fail_on_warning, 10)->path == checkpoint_path(folder.path(), 40));
}

TEST_CASE("every flipped bit and every truncation is detected, and the checkpoint before is used") {
  const TemporaryFolder folder;
  TinyTraining training;
  save_checkpoint(folder.path(), 0, checkpoint_of(training));
  training.epoch();
  Checkpoint newest = checkpoint_of(training);
  newest.metadata["metrics.jsonl"] = "{\"epoch\": 1, \"name\": \"caf\xc3\xa9 \\u001f \x01\"}\n";
  save_checkpoint(folder.path(), 4, newest);
  const std::string intact = read_file(checkpoint_path(folder.path(), 4));

  Generator generator(5);
  std::string warning;
  const auto expect_fallback = [&](const std::string& content) {
    folder.write("checkpoint-4.safetensors", content);
    warning.clear();
    const auto found = newest_checkpoint(folder.path(), [&](const std::string& line) { warning = line; });
    REQUIRE(found.has_value());
    CHECK(found->integer("step") == 0);
    CHECK(contains(warning, checkpoint_path(folder.path(), 4)));
  };
  for (int i = 0; i < 1000; ++i) {
    const uint64_t bit = generator.below(8 * intact.size());
    CAPTURE(bit);
    std::string content = intact;
    content[bit / 8] = static_cast<char>(content[bit / 8] ^ (1 << (bit % 8)));
    expect_fallback(content);
  }
  for (int i = 0; i < 200; ++i) {
    const uint64_t length = generator.below(intact.size());
    CAPTURE(length);
    expect_fallback(intact.substr(0, length));
  }
  folder.write("checkpoint-4.safetensors", intact);
  CHECK(newest_checkpoint(folder.path(), fail_on_warning)->integer("step") == 4);
}

TEST_CASE("another file in a checkpoint's place is refused too: one without a checksum, or with content exchanged") {
  const TemporaryFolder folder;
  const std::string path = checkpoint_path(folder.path(), 1);
  safetensors::save(path, {{"w", Tensor::ones({2})}}, {{"step", "1"}});
  CHECK(contains(error_of([&] { load_checkpoint(path); }), path + ": is no checkpoint"));
  save_checkpoint(folder.path(), 1, {{{"w", Tensor::ones({2})}}, {}});
  safetensors::Content content = safetensors::load(path);
  content.tensors["w"] = Tensor::zeros({2});
  safetensors::save(path, content.tensors, content.metadata);
  CHECK(contains(error_of([&] { load_checkpoint(path); }), path + ": its content does not match its checksum"));
}

TEST_CASE("a checkpoint that was renamed is passed over, whatever step its new name claims") {
  const TemporaryFolder folder;
  TinyTraining training;
  save_checkpoint(folder.path(), 0, checkpoint_of(training));
  training.epoch();
  save_checkpoint(folder.path(), 4, checkpoint_of(training));
  const std::string renamed = checkpoint_path(folder.path(), 999999999999);
  std::filesystem::copy_file(checkpoint_path(folder.path(), 0), renamed);
  std::string warning;
  const auto newest = newest_checkpoint(folder.path(), [&](const std::string& line) { warning = line; });
  CHECK(newest->integer("step") == 4);
  CHECK(contains(warning, renamed + ": was written after step 0 and renamed since"));

  const TemporaryFolder other;  // with one that says no step by itself
  save_checkpoint(other.path(), 5, {{{"one", Tensor::ones({2})}}, {}});
  std::filesystem::rename(checkpoint_path(other.path(), 5), checkpoint_path(other.path(), 6));
  CHECK(contains(error_of([&] { newest_checkpoint(other.path(), [&](const std::string& line) { warning = line; }); }),
                 "is intact"));
  CHECK(contains(warning, checkpoint_path(other.path(), 6) + ": was written after step 5"));
}

TEST_CASE("where no checkpoint is intact, that is an error and not a beginning") {
  const TemporaryFolder folder;
  folder.write("checkpoint-4.safetensors", "x");
  std::vector<std::string> warnings;
  const std::string what =
      error_of([&] { newest_checkpoint(folder.path(), [&](const std::string& line) { warnings.push_back(line); }); });
  CHECK(contains(what, "none in " + folder.path().string() + " is intact; remove them"));
  CHECK(warnings.size() == 1);
}

TEST_CASE("a checkpoint of another model, and one with a number missing or damaged, name themselves") {
  const TemporaryFolder folder;
  TinyTraining training;
  Checkpoint other = checkpoint_of(training);
  other.path = "the/path";
  other.tensors.erase("model/fc1.bias");
  const auto error = [&] {
    return error_of([&] { restore(other, training.model, training.optimizer, training.state); });
  };
  CHECK(contains(error(), "the/path: [load] the state does not fit the model; missing: fc1.bias"));
  other.tensors = clone(checkpoint_of(training).tensors);
  other.metadata["step"] = "4x";
  CHECK(contains(error(), "the/path: 'step' is no number: 4x"));
  for (const char* step : {"-1", "9223372036854775807"}) {
    other.metadata["step"] = step;
    CHECK(contains(error(), std::string("the/path: 'step' is ") + step + ", which is no number of anything"));
  }
  other.metadata.erase("step");
  CHECK(contains(error(), "the/path: does not say 'step'"));
}

TEST_CASE("a complete run whose metrics are damaged names its checkpoint") {
  const TemporaryFolder folder;
  TinyTraining training;
  training.epoch();
  Checkpoint checkpoint = checkpoint_of(training);
  checkpoint.metadata["metrics.jsonl"] = "{\"epoch\": 1";
  save_checkpoint(folder.path(), training.state.step, checkpoint);
  RunDirectory(folder.path()).save_config({{"program", "x"}, {"epochs", 1}});
  safetensors::save(folder / "weights.safetensors", {},
                    {{"complete", "true"}, {"step", std::to_string(training.state.step)}});
  TrainingFlags flags;
  flags.out = flags.resume = folder.path();
  flags.json = true;
  CHECK(contains(error_of([&] {
                   start_run(flags, {{"program", "x"}, {"data", "auto"}});
                 }),
                 checkpoint_path(folder.path(), training.state.step) + ": its metrics are damaged ("));
}

}  // namespace
}  // namespace gradus::apps
