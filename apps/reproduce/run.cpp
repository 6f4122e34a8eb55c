#include "apps/reproduce/run.h"

#include <algorithm>
#include <set>

#include "autograd/autocast.h"
#include "core/accelerator.h"
#include "core/joined.h"
#include "data/file_source.h"
#include "data/md5.h"

namespace gradus::reproduce {
namespace {

/// Whether a flag's value belongs to the settings. Flags that training programs got after the first results were
/// recorded count only where they are not at their default: their arrival must not make finished trainings unknown.
bool is_setting(const std::string& name, const apps::Record::Value& value) {
  static const std::set<std::string> always{"rule", "lr",       "lr_drop", "momentum", "weight_decay", "decay_mode",
                                            "form", "hyper_lr", "rank",    "batch",    "hyper_rule",   "preconditioner",
                                            "seed", "conv"};
  static const std::set<std::string> never{"epochs", "weights", "threads", "workers", "tf32", "fast", "plans", "graph"};
  if (always.contains(name) || never.contains(name)) return always.contains(name);
  apps::TrainingFlags defaults;
  defaults.lr = defaults.weight_decay = 0;
  defaults.decay_mode = "";
  const apps::Record standard = defaults.record();
  return std::none_of(standard.fields().begin(), standard.fields().end(),
                      [&](const apps::Record::Field& field) { return field == apps::Record::Field(name, value); });
}

}  // namespace

apps::Record Run::settings(const apps::Record& data) const {
  // Raised whenever the training routine changes in a way that changes results.
  constexpr int64_t version = 1;
  apps::Record record{{"routine", version}};
  record.add(data);
  const auto add_precision = [&] {
    if (device_name() != "cpu") {  // which has neither of these choices
      record.add("device", std::string(device_name()));
      if (accelerator().tf32) record.add("tf32", true);
      if (accelerator().fast) record.add("fast", true);
    }
    if (autocasting()) record.add("amp", std::string("bf16"));
  };
  if (routine) {
    record.add(other);
    add_precision();
    return record;
  }
  record.add("train_samples", train_samples);
  record.add("test_samples", test_samples);
  if (held_out) record.add("held_out", true);
  std::string model = images == Images::imagenet ? "resnet18, four projections" : hidden.empty() ? "all_cnn" : "mlp";
  for (int64_t units : hidden) model += " " + std::to_string(units);
  record.add("model", model);
  if (image_size > 0) record.add("image_size", image_size);
  record.add("dropout", dropout);
  if (augment) record.add("augment", std::string("standard"));
  if (whiten) record.add("whiten", true);
  const apps::Record of_flags = flags.record();
  for (const auto& [name, value] : of_flags.fields())
    if (is_setting(name, value)) record.add(name, value);
  // The network of ImageNet's experiments goes without a matrix for its classifier.
  const std::vector<std::string> usual =
      images == Images::imagenet ? std::vector<std::string>{"fc"} : std::vector<std::string>();
  if (flags.preconditioner.starts_with("fop") && flags.without_matrix != usual)
    record.add("without_matrix", flags.without_matrix.empty() ? "none" : joined(flags.without_matrix));
  add_precision();
  record.add("steps", steps);
  record.add("evaluate_every", evaluate_every);
  record.add("angles_every", angles_every);
  record.add("matrices_every", matrices_every);
  record.add("dense_gain", dense_gain);
  if (activation != Activation::relu) record.add("activation", std::string(gradus::name(activation)));
  if (init_std > 0) record.add("init_std", init_std);
  if (curvature_samples > 0) record.add("curvature_samples", curvature_samples);
  for (const auto& [layer, factor] : lr_factors) record.add("lr_factor " + layer, factor);
  return record;
}

std::string key_of(const apps::Record& settings) { return md5_hex(bytes_of(settings.json())); }

}  // namespace gradus::reproduce
