// Damaged files of the walker: checkpoints of its trainings, and policies.
#include "apps/walker/training.h"
#include "tests/apps/readers.h"

namespace gradus::walker {
namespace {

Plan small_plan() {
  Plan plan{.settings = {}, .evaluate_every = 1, .episodes = 1};
  plan.settings.ppo.envs = 2;
  plan.settings.ppo.horizon = 32;
  plan.settings.ppo.epochs = 1;
  plan.settings.environment.time_limit = 24;
  plan.settings.policy.hidden = {4};
  plan.settings.iterations = 3;
  return plan;
}

}  // namespace

TEST_CASE("a damaged checkpoint of a walker goes on or is named") {
  const TemporaryFolder folder;
  const std::string path = folder / "checkpoint-1.safetensors";
  Training training(small_plan()), other(small_plan());
  training.iterate();
  apps::write_checkpoint(path, training.checkpoint());
  apps::checkpoint_campaigns(
      "walker's checkpoint", path,
      [&](const apps::Checkpoint& checkpoint) {
        other.load(checkpoint);
        try {
          other.iterate();
          other.play_best(1);
        } catch (const Error& error) {  // training on is no matter of the file
          if (mutation::has_control_character(error.what())) throw;
        }
      },
      0.3);
}

TEST_CASE("a damaged policy of a walker is loaded or refused") {
  const TemporaryFolder folder;
  const std::string path = folder / "policy.safetensors";
  const Training training(small_plan());
  save_policy(path, training.best_policy(), small_plan().settings);
  std::vector<std::string> words = mutation::json_words();
  words.insert(words.end(), {"16384,16384,16384", "hidden", "rough-obstacles", "0.1-0.2", "stock"});
  words.insert(words.end(), apps::tensor_words.begin(), apps::tensor_words.end());
  const safetensors::Content content = safetensors::load(path);
  mutation::Reader reader{.name = "policy",
                          .valid = read_file(path),
                          .read =
                              [&](const std::string& bytes) {
                                folder.write("policy.safetensors", bytes);
                                load_policy(path).policy->act({});
                              },
                          .words = words,  // walker_watch adds the file's name
                          .longest_message = 2000};
  mutation::campaign(reader);
  reader.name = "policy's settings";
  reader.valid = content.metadata.at("settings");
  reader.read = [&](const std::string& bytes) {
    safetensors::save(path, content.tensors, {{"settings", Json::parse_or_null(bytes).is_null() ? "{}" : bytes}});
    load_policy(path).policy->act({});
  };
  mutation::campaign(reader);
}

}  // namespace gradus::walker
