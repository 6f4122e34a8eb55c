// Lookup in a short table of hyperparameters.
#include "optim/settings.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/joined.h"
#include "core/ranges.h"

namespace gradus::optim {

const Settings::Entry* Settings::find(std::string_view name) const {
  for (const Entry& entry : entries_)
    if (entry.first == name) return &entry;
  return nullptr;
}

double Settings::at(std::string_view name) const {
  if (const Entry* entry = find(name)) return entry->second;
  fail(ErrorKind::value, "optim", "no hyperparameter is called '", name,
       "'; there are: ", joined(entries_, &Entry::first));
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

void check_setting(std::string_view name, double value) {
  constexpr std::string_view prefix = "hyper.", sizes[] = {"lr", "lr_decay", "weight_decay", "l1", "eps"},
                             shares[] = {"momentum", "beta1", "beta2", "alpha"};
  const std::string_view own = name.substr(name.starts_with(prefix) ? prefix.size() : 0);
  const auto is_one_of = [&](const auto& names) { return std::ranges::find(names, own) != std::end(names); };
  if (is_one_of(sizes) && !(value >= 0))
    fail(ErrorKind::value, "optim", "expects ", name, " of at least 0, got ", value);
  if (is_one_of(shares) && !is_fraction(value))
    fail(ErrorKind::value, "optim", "expects ", name, " in [0, 1), got ", value);
  if (!std::isfinite(value)) fail(ErrorKind::value, "optim", "expects a finite ", name, ", got ", value);
}

}  // namespace gradus::optim
