#include "apps/walker/training.h"

#include <cmath>

#include "apps/common/progress.h"
#include "apps/common/statistics.h"
#include "core/error.h"
#include "core/json.h"

namespace gradus::walker {
namespace {

void copy_policy(const Policy& from, Policy& to) {
  to.load(from.state());
  to.observed = from.observed;
}

// Rows of numbers only: null stands for what is not a number.
apps::Record row_from(const Json& json) {
  apps::Record row;
  for (const auto& [name, value] : json.object()) {
    if (value.is_integer())
      row.add(name, value.get<int64_t>());
    else
      row.add(name, value.is_null() ? std::nan("") : value.number());
  }
  return row;
}

/// Their JSON text.
std::string rows_in(const apps::Checkpoint& checkpoint) {
  const auto found = checkpoint.tensors.find("rows");
  if (found == checkpoint.tensors.end()) return checkpoint.text("rows");  // where it was at first
  const std::vector<uint8_t> bytes = found->second.to_vector<uint8_t>();
  return {bytes.begin(), bytes.end()};
}

void check_same_plan(const std::string& path, const Plan& plan, const std::string& saved) {
  const Json there = Json::parse_or_null(saved);
  if (!there.is_object()) fail(ErrorKind::io, "walker", path, ": its settings are damaged");
  Json here = Json::parse(plan.record().json());
  for (const auto& [name, value] : there.object())
    if (!here.find(name)) here.object().emplace_back(name, nullptr);
  for (const auto& [name, value] : here.object()) {
    const Json* found = there.find(name);
    const Json other = found ? *found : Json();
    if (other == value) continue;
    const bool fewer = other.is_number() && value.is_number() && other.number() < value.number();
    if (name == "iterations" && !plan.settings.ppo.linear_decay && fewer) continue;
    if (name == "iterations" && other.is_integer()) {
      const int64_t there_steps = other.get<int64_t>() * plan.settings.steps_per_iteration();
      fail(ErrorKind::value, "walker", path, " belongs to a training of ", other.dump(), " iterations, not ",
           value.dump(), ": give it --steps ", there_steps,
           plan.settings.ppo.linear_decay ? ", on which its learning rate depends" : " or more", ", or another folder");
    }
    fail(ErrorKind::value, "walker", path, " belongs to a training with ", name, " ", other.dump(), ", not ",
         value.dump(), ": name another folder, or remove this one");
  }
}

}  // namespace

apps::Record Plan::record() const {
  apps::Record record = settings.record();
  record.add({{"evaluate_every", evaluate_every}, {"evaluation_episodes", episodes}});
  return record;
}

Training::Training(const Plan& plan)
    : plan_(plan), ppo_(plan.settings), best_policy_(plan.settings.policy), best_(std::nan("")) {}

const apps::Record& Training::iterate() {
  apps::Record row = ppo_.iterate().record();
  double evaluation = std::nan("");
  if (ppo_.iterations() % plan_.evaluate_every == 0 || finished()) {
    const apps::Stopwatch watch;
    evaluation = apps::mean(ppo_.evaluate(plan_.episodes, 0));
    evaluation_seconds_ += watch.seconds();
    if (std::isnan(best_) || evaluation > best_) {
      best_ = evaluation;
      best_iteration_ = ppo_.iterations();
      copy_policy(ppo_.policy(), best_policy_);
    }
  }
  row.add({{"evaluation", evaluation}, {"best", best_}});
  rows_.push_back(std::move(row));
  return rows_.back();
}

std::vector<double> Training::play_best(int64_t episodes) { return ppo_.evaluate(best_policy_, episodes, 1); }

apps::Checkpoint Training::checkpoint() const {
  apps::Checkpoint checkpoint{ppo_.state(), {}};
  checkpoint.add("best", best_policy_.state());
  checkpoint.tensors["best_observed"] = best_policy_.observed.state();
  std::string rows;
  for (const apps::Record& row : rows_) rows += (rows.empty() ? "[" : ",\n") + row.json();
  rows += rows.empty() ? "[]" : "]";
  // No metadata: of those a file holds 100 MB at most, which a long training exceeds.
  checkpoint.tensors["rows"] =
      Tensor::from(std::vector<uint8_t>(rows.begin(), rows.end()), {static_cast<int64_t>(rows.size())});
  checkpoint.metadata = {{"best", apps::exact(best_)},
                         {"best_iteration", std::to_string(best_iteration_)},
                         {"settings", plan_.record().json()}};
  return checkpoint;
}

void Training::load(const apps::Checkpoint& checkpoint) {
  for (const char* name : {"best", "best_iteration", "settings"})
    if (!checkpoint.metadata.contains(name))
      fail(ErrorKind::value, "walker", checkpoint.path, " is no checkpoint of walker_train");
  check_same_plan(checkpoint.path, plan_, checkpoint.text("settings"));
  try {
    const auto observed = checkpoint.tensors.find("best_observed");
    if (observed == checkpoint.tensors.end()) fail(ErrorKind::value, "walker", "there is no best_observed");
    ppo_.load(checkpoint.tensors);
    best_policy_.load(checkpoint.under("best"));
    best_policy_.observed.load(observed->second);
    rows_.clear();
    const Json rows = Json::parse(rows_in(checkpoint));
    for (const Json& row : rows.array()) rows_.push_back(row_from(row));
  } catch (const Error& error) {
    fail(error.kind(), "walker", checkpoint.path, ": ", error.what());
  }
  best_ = checkpoint.text("best") == "nan" ? std::nan("") : checkpoint.number("best");
  best_iteration_ = checkpoint.integer("best_iteration");
}

}  // namespace gradus::walker
