// What tests of reproduce share: results without data sets, and a ledger that is read and changed.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/file.h"
#include "tests/apps/program.h"
#include "tests/data/temporary_folder.h"

namespace gradus {

// Without the data sets that this machine may have: smoke scale then takes synthetic images.
struct NoData {
  TemporaryFolder folder;
  ScopedVariable cache{"GRADUS_CACHE", folder / "cache"}, data{"GRADUS_DATA", folder / "nowhere"};
};

inline std::vector<std::string> ledger_of(const std::string& out) {
  std::vector<std::string> files;
  if (std::filesystem::exists(out + "/ledger"))
    for (const auto& entry : std::filesystem::directory_iterator(out + "/ledger"))
      if (entry.path().extension() == ".json") files.push_back(entry.path().string());
  return files;
}

/// Changes what the ledger says of every training: `change` sees its settings and its outcome.
inline void edit_ledger(const std::string& out,
                        const std::function<void(const nlohmann::json& settings, nlohmann::json& outcome)>& change) {
  for (const std::string& path : ledger_of(out)) {
    nlohmann::json training = nlohmann::json::parse(read_file(path));
    change(training["settings"], training["outcome"]);
    write_file_atomically(path, training.dump());
  }
}

/// The rows of --json by the value of a column.
inline std::map<std::string, nlohmann::json> rows_by(const std::string& column, const std::string& out) {
  std::map<std::string, nlohmann::json> rows;
  for (const std::string& line : lines_of(out)) {
    const auto row = nlohmann::json::parse(line);
    rows[row.at(column)] = row;
  }
  return rows;
}

}  // namespace gradus
