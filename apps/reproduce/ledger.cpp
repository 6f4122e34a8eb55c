#include "apps/reproduce/ledger.h"

#include <filesystem>

#include "apps/common/run_directory.h"
#include "core/error.h"
#include "core/file.h"
#include "core/json.h"

namespace gradus::reproduce {

Ledger::Ledger(const std::string& out) : folder_(apps::RunDirectory(out + "/ledger").path()) {}

std::optional<Outcome> Ledger::find(const std::string& key) const {
  const std::string path = file(key, ".json");
  if (!std::filesystem::exists(path)) return std::nullopt;
  const std::string bytes = read_file(path);
  try {
    Outcome outcome = Outcome::parse(Json::parse(bytes).at("outcome").dump());
    outcome.file = path;
    return outcome;
  } catch (const Error& error) {
    fail(ErrorKind::io, "ledger", path, " is damaged (", error.what(), "): remove it, and the training is run again");
  }
}

void Ledger::add(const std::string& key, const apps::Record& settings, const Outcome& outcome) const {
  write_file_atomically(file(key, ".json"),
                        "{\"settings\": " + settings.json() + ",\n\"outcome\": " + outcome.json() + "}\n");
}

void Ledger::remove_checkpoint(const std::string& key) const {
  std::error_code ignored;
  std::filesystem::remove(checkpoint(key), ignored);
}

}  // namespace gradus::reproduce
