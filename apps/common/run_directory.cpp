#include "apps/common/run_directory.h"

#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "core/safetensors.h"

namespace gradus::apps {

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

bool RunDirectory::used() const { return std::filesystem::exists(file("config.json")); }

void RunDirectory::start(const Record& config) {
  for (const char* name : {"config.json", "metrics.jsonl", "metrics.csv", "timing.jsonl", "weights.safetensors"}) {
    std::error_code error;
    std::filesystem::remove(file(name), error);
    if (error) fail(ErrorKind::io, "run directory", "cannot remove ", file(name), ": ", error.message());
  }
  metrics_.clear();
  metrics_csv_.clear();
  timing_.clear();
  write_file_atomically(file("config.json"), config.json_lines() + "\n");
}

void RunDirectory::add_metrics(const Record& metrics) {
  if (metrics_csv_.empty()) metrics_csv_ = metrics.csv_names() + "\n";
  metrics_ += metrics.json() + "\n";
  metrics_csv_ += metrics.csv_values() + "\n";
  write_file_atomically(file("metrics.jsonl"), metrics_);
  write_file_atomically(file("metrics.csv"), metrics_csv_);
}

void RunDirectory::add_timing(const Record& timing) {
  timing_ += timing.json() + "\n";
  write_file_atomically(file("timing.jsonl"), timing_);
}

void RunDirectory::save_weights(const std::map<std::string, Tensor>& state,
                                const std::map<std::string, std::string>& metadata) const {
  safetensors::save(file("weights.safetensors"), state, metadata);
}

}  // namespace gradus::apps
