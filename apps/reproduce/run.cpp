#include "apps/reproduce/run.h"

#include "data/file_source.h"
#include "data/md5.h"

namespace gradus::reproduce {

apps::Record Run::settings(const apps::Record& data) const {
  // Raised whenever the training routine changes in a way that changes results.
  constexpr int64_t routine = 1;
  apps::Record record{{"routine", routine}};
  record.add(data);
  record.add("train_samples", train_samples);
  record.add("test_samples", test_samples);
  std::string model = hidden.empty() ? "all_cnn" : "mlp";
  for (int64_t units : hidden) model += " " + std::to_string(units);
  record.add("model", model);
  record.add("dropout", dropout);
  const apps::Record of_flags = flags.record();
  for (const auto& [name, value] : of_flags.fields()) {
    const bool elsewhere = name == "epochs" || name == "weights" || name == "threads" || name == "workers";
    if (!elsewhere) record.add(name, value);
  }
  record.add("steps", steps);
  record.add("evaluate_every", evaluate_every);
  record.add("angles_every", angles_every);
  record.add("matrices_every", matrices_every);
  record.add("dense_gain", dense_gain);
  for (const auto& [layer, factor] : lr_factors) record.add("lr_factor " + layer, factor);
  return record;
}

std::string key_of(const apps::Record& settings) { return md5_hex(bytes_of(settings.json())); }

}  // namespace gradus::reproduce
