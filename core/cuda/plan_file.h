// The file that keeps which of cuDNN's engines convolutions took, for later runs.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"

namespace gradus::cuda {

/// A JSON object from problems (with GPU and library) to engines, in order of problems.
class PlanFile {
 public:
  /// The file may be new. Throws ErrorKind::io where it holds something else.
  explicit PlanFile(std::string path) : path_(std::move(path)) { read(); }

  /// Empty for a problem that is not there.
  std::string find(const std::string& problem) const {
    const auto found = plans_.find(problem);
    return found != plans_.end() && found->second.is_string() ? found->second.string() : "";
  }
  void add(const std::string& problem, const std::string& engine) {
    write_file_atomically(path_, [&](FileWriter& file) {
      read();  // what other programs have added since: writers take turns
      plans_[problem] = engine;
      file.write(Json(plans_).dump(2) + "\n");
    });
  }

 private:
  void read() {
    if (!std::filesystem::exists(path_)) return;
    const Json known = Json::parse_or_null(read_file(path_));
    if (!known.is_object())
      fail(ErrorKind::io, "plans", path_, " is no file of convolution plans; name another file, which may be new");
    for (const auto& [problem, engine] : known.object()) plans_[problem] = engine;
  }

  std::string path_;
  std::map<std::string, Json> plans_;
};

}  // namespace gradus::cuda
