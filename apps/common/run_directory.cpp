#include "apps/common/run_directory.h"

#include <filesystem>
#include <fstream>

#include "apps/common/checkpoint.h"
#include "apps/common/tensorboard.h"
#include "core/error.h"
#include "core/file.h"
#include "core/safetensors.h"

namespace gradus::apps {

void Metrics::add(const Record& record) {
  if (csv.empty()) csv = record.csv_names() + "\n";
  jsonl += record.json() + "\n";
  csv += record.csv_values() + "\n";
}

RunDirectory::RunDirectory(std::string path) : path_(std::move(path)) {
  std::error_code error, ignored;
  std::filesystem::create_directories(path_, error);
  if (!std::filesystem::is_directory(path_, ignored)) {
    const bool taken = std::filesystem::exists(path_, ignored);
    fail(ErrorKind::io, "run directory", "cannot create ", path_, ": ",
         taken ? "there is a file of this name" : error.message());
  }
  const std::string probe = file(".writable");
  write_file_atomically(probe, "");
  std::filesystem::remove(probe, error);
}

bool RunDirectory::used() const {
  const auto present = [this](const char* name) { return std::filesystem::exists(file(name)); };
  return present("config.json") &&
         (present("metrics.jsonl") || present("weights.safetensors") || !checkpoints_in(path_).empty());
}

void RunDirectory::lock() {
  const std::string path = file(".lock");
  lock_ = LockFile::take(path);
  if (lock_) return;
  const std::string process = LockFile::holder(path);
  fail(ErrorKind::io, "run directory", "a training is running in ", path_,
       process.empty() ? "" : " (process " + process + ")", ": wait for its end, or name another folder");
}

std::string RunDirectory::next_replaced() const {
  std::string name = file("replaced");
  for (int number = 2; std::filesystem::exists(name); ++number) name = file("replaced-" + std::to_string(number));
  return name;
}

void RunDirectory::start(const Record& config) {
  // config.json is replaced, never missing: a run that is killed right here can be resumed too.
  std::vector<std::string> old = {
      file("metrics.jsonl"),           file("metrics.csv"), file("timing.jsonl"), file("weights.safetensors"),
      file("weights.ema.safetensors"), file("classes.json")};
  for (int64_t step : checkpoints_in(path_)) old.push_back(checkpoint_path(path_, step));
  for (const std::string& name : event_files_in(path_)) old.push_back(name);
  std::erase_if(old, [](const std::string& name) { return !std::filesystem::exists(name); });
  if (!old.empty()) keep_as_replaced(old);
  timing_.clear();
  save_config(config);
}

void RunDirectory::keep_as_replaced(const std::vector<std::string>& files) const {
  namespace fs = std::filesystem;
  const fs::path folder = next_replaced();
  try {
    fs::create_directory(folder);
    if (fs::exists(file("config.json"))) fs::copy_file(file("config.json"), folder / "config.json");
    for (const std::string& name : files) fs::rename(name, folder / fs::path(name).filename());
  } catch (const fs::filesystem_error& error) {
    fail(ErrorKind::io, "run directory", "cannot move the run that is in ", path_, " to ", folder.string(), ": ",
         error.code().message());
  }
}

void RunDirectory::resume(const Metrics& metrics, int64_t epochs) {
  timing_.clear();
  std::ifstream lines(file("timing.jsonl"));
  std::string line;
  for (int64_t row = 0; row < epochs && std::getline(lines, line); ++row) timing_ += line + "\n";
  save_metrics(metrics);
}

void RunDirectory::remove(const std::string& name) const {
  std::error_code error;
  std::filesystem::remove(file(name), error);
  if (error) fail(ErrorKind::io, "run directory", "cannot remove ", file(name), ": ", error.message());
}

void RunDirectory::save_config(const Record& config) const {
  write_file_atomically(file("config.json"), config.json_lines() + "\n");
}

void RunDirectory::save_metrics(const Metrics& metrics) const {
  write_file_atomically(file("metrics.jsonl"), metrics.jsonl);
  write_file_atomically(file("metrics.csv"), metrics.csv);
}

void RunDirectory::add_timing(const Record& timing) {
  timing_ += timing.json() + "\n";
  save_timing();
}

void RunDirectory::save_timing() const {
  if (!timing_.empty()) write_file_atomically(file("timing.jsonl"), timing_);
}

void RunDirectory::save_weights(const std::map<std::string, Tensor>& state,
                                const std::map<std::string, std::string>& metadata, const std::string& name) const {
  safetensors::save(file(name), state, metadata);
}

}  // namespace gradus::apps
