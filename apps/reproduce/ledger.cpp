#include "apps/reproduce/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

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
  try {
    return Outcome::parse(Json::parse(read_file(path)).at("outcome").dump());
  } catch (const JsonError& error) {
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

// The lock file is removed before it is unlocked. Who opened it in between holds a lock on a file without a name, which
// stops nobody: claim() looks whether the name still stands for what it locked.
Ledger::Claim::~Claim() {
  if (descriptor_ < 0) return;
  unlink(path_.c_str());
  close(descriptor_);
}

std::optional<Ledger::Claim> Ledger::claim(const std::string& key) const {
  const std::string path = file(key, ".lock");
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) fail(ErrorKind::io, "ledger", path, ": ", std::generic_category().message(errno));
  struct stat locked = {}, named = {};
  if (flock(descriptor, LOCK_EX | LOCK_NB) != 0 || fstat(descriptor, &locked) != 0 || stat(path.c_str(), &named) != 0 ||
      locked.st_ino != named.st_ino) {
    close(descriptor);
    return std::nullopt;
  }
  return Claim(path, descriptor);
}

}  // namespace gradus::reproduce
