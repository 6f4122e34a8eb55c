// Lookup in a short table of hyperparameters.
#include "optim/settings.h"

#include "core/error.h"

namespace gradus::optim {

const Settings::Entry* Settings::find(std::string_view name) const {
  for (const Entry& entry : entries_)
    if (entry.first == name) return &entry;
  return nullptr;
}

double Settings::at(std::string_view name) const {
  if (const Entry* entry = find(name)) return entry->second;
  std::string known;
  for (const Entry& entry : entries_) known += (known.empty() ? "" : ", ") + entry.first;
  fail(ErrorKind::value, "optim", "no hyperparameter is called '", name, "'; there are: ", known);
}

double Settings::get(std::string_view name, double otherwise) const {
  const Entry* entry = find(name);
  return entry ? entry->second : otherwise;
}

void Settings::set(std::string_view name, double value) {
  for (Entry& entry : entries_)
    if (entry.first == name) {
      entry.second = value;
      return;
    }
  entries_.emplace_back(std::string(name), value);
}

}  // namespace gradus::optim
