#include "apps/common/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "apps/common/record.h"
#include "core/error.h"
#include "core/safetensors.h"
#include "core/shortened.h"
#include "data/md5.h"

namespace gradus::apps {
namespace {

constexpr const char *digest_key = "md5", *step_key = "step";
constexpr std::string_view name_begin = "checkpoint-", name_end = ".safetensors";

template <class T>
bool parse(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

template <class T>
T parsed(const Checkpoint& checkpoint, const std::string& key) {
  T value = 0;
  if (!parse(checkpoint.text(key), value))
    fail(ErrorKind::io, "checkpoint", checkpoint.path, ": '", key, "' is no number: ", shortened(checkpoint.text(key)));
  return value;
}

void add(Md5& digest, std::string_view bytes) {
  const uint64_t length = bytes.size();
  digest.update({reinterpret_cast<const uint8_t*>(&length), sizeof length});
  digest.update({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

/// Of every name, value and number: whatever changes one of them changes it.
std::string digest_of(const Checkpoint& checkpoint) {
  Md5 digest;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    const std::vector<char> elements = tensor.to_bytes();
    add(digest, name);
    add(digest, gradus::text(tensor.dtype(), tensor.shape()));
    add(digest, {elements.data(), elements.size()});
  }
  for (const auto& [key, value] : checkpoint.metadata) {
    if (key == digest_key) continue;
    add(digest, key);
    add(digest, value);
  }
  return digest.hex_digest();
}

/// What a process that was killed while it wrote has left.
void remove_unfinished(const std::string& folder) {
  std::error_code ignored;
  std::vector<std::filesystem::path> unfinished;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(name_begin) && name.ends_with(".tmp")) unfinished.push_back(entry.path());
  }
  for (const auto& path : unfinished) std::filesystem::remove(path, ignored);
}

}  // namespace

void Checkpoint::add(const std::string& prefix, const StateDict& state) {
  for (const auto& [name, tensor] : state) tensors.emplace(prefix + "/" + name, tensor);
}

const std::string& Checkpoint::text(const std::string& key) const {
  const auto found = metadata.find(key);
  if (found == metadata.end()) fail(ErrorKind::io, "checkpoint", path, ": does not say '", key, "'");
  return found->second;
}

int64_t Checkpoint::integer(const std::string& key) const {
  constexpr int64_t most = int64_t{1} << 53;  // what is computed from it fits
  const int64_t value = parsed<int64_t>(*this, key);
  if (value < 0 || value > most)
    fail(ErrorKind::io, "checkpoint", path, ": '", key, "' is ", value, ", which is no number of anything");
  return value;
}
double Checkpoint::number(const std::string& key) const { return parsed<double>(*this, key); }

Checkpoint checkpoint_of(const Module& model, const optim::Optimizer& optimizer, const TrainingState& state) {
  Checkpoint checkpoint;
  checkpoint.add("model", model.state());
  checkpoint.add("optimizer", optimizer.state());
  checkpoint.metadata = {
      {"epoch", std::to_string(state.epoch)},           {"batch", std::to_string(state.batch)},
      {step_key, std::to_string(state.step)},           {"loss_sum", exact(state.score.loss_sum)},
      {"correct", std::to_string(state.score.correct)}, {"images", std::to_string(state.score.images)},
      {"skipped", std::to_string(state.score.skipped)}};
  return checkpoint;
}

void restore(const Checkpoint& checkpoint, Module& model, optim::Optimizer& optimizer, TrainingState& state) {
  try {
    model.load(checkpoint.under("model"));
    optimizer.load(checkpoint.under("optimizer"));
  } catch (const Error& error) {
    fail(error.kind(), "checkpoint", checkpoint.path, ": ", error.what());
  }
  state = {.epoch = checkpoint.integer("epoch"),
           .batch = checkpoint.integer("batch"),
           .step = checkpoint.integer(step_key),
           .score = {.loss_sum = checkpoint.number("loss_sum"),
                     .correct = checkpoint.integer("correct"),
                     .images = checkpoint.integer("images"),
                     .skipped = checkpoint.integer("skipped")}};
}

std::string checkpoint_path(const std::string& folder, int64_t step) {
  return gradus::text(folder, "/", name_begin, step, name_end);
}

std::vector<int64_t> checkpoints_in(const std::string& folder) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string file = entry.path().filename().string();
    std::string_view name = file;
    if (!name.starts_with(name_begin) || !name.ends_with(name_end)) continue;
    name.remove_prefix(name_begin.size());
    name.remove_suffix(name_end.size());
    int64_t step = 0;
    if (parse(name, step) && checkpoint_path(folder, step) == folder + "/" + file) steps.push_back(step);
  }
  std::sort(steps.rbegin(), steps.rend());
  return steps;
}

void write_checkpoint(const std::string& path, const Checkpoint& checkpoint) {
  std::map<std::string, std::string> metadata = checkpoint.metadata;
  metadata[digest_key] = digest_of(checkpoint);
  safetensors::save(path, checkpoint.tensors, metadata);
}

void save_checkpoint(const std::string& folder, int64_t step, const Checkpoint& checkpoint, int64_t every) {
  Checkpoint named = checkpoint;
  named.metadata.emplace(step_key, std::to_string(step));
  write_checkpoint(checkpoint_path(folder, step), named);
  remove_unfinished(folder);
  int64_t kept = 0;
  for (int64_t old : checkpoints_in(folder)) {
    std::error_code ignored;  // one too many does no harm
    if (kept == 2) std::filesystem::remove(checkpoint_path(folder, old), ignored);
    if (kept < 2 && old % every == 0) ++kept;
  }
}

Checkpoint load_checkpoint(const std::string& path) {
  safetensors::Content content = safetensors::load(path);
  Checkpoint checkpoint{std::move(content.tensors), std::move(content.metadata), path};
  if (!checkpoint.metadata.contains(digest_key))
    fail(ErrorKind::io, "checkpoint", path, ": is no checkpoint, which would have a checksum");
  if (digest_of(checkpoint) != checkpoint.text(digest_key))
    fail(ErrorKind::io, "checkpoint", path, ": its content does not match its checksum");
  return checkpoint;
}

std::optional<Checkpoint> newest_checkpoint(const std::string& folder,
                                            const std::function<void(const std::string&)>& warn, int64_t every) {
  bool damaged = false;
  for (int64_t step : checkpoints_in(folder)) {
    if (step % every != 0) continue;
    try {
      Checkpoint checkpoint = load_checkpoint(checkpoint_path(folder, step));
      // Those of walker_train have not always said it.
      if (checkpoint.metadata.contains(step_key) && checkpoint.integer(step_key) != step)
        fail(ErrorKind::io, "checkpoint", checkpoint.path, ": was written after step ", checkpoint.integer(step_key),
             " and renamed since");
      return checkpoint;
    } catch (const Error& error) {
      damaged = true;
      warn(gradus::text("passes over a damaged checkpoint: ", error.what()));
    }
  }
  if (damaged)
    fail(ErrorKind::io, "checkpoint", "none in ", folder, " is intact; remove them to train from the beginning");
  return std::nullopt;
}

}  // namespace gradus::apps
