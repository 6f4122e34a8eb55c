// Episodes of the heuristic walker, and the statistics of their scores.
#pragma once

#include <cmath>
#include <vector>

#include "apps/walker/heuristic.h"
#include "core/parallel.h"

namespace gradus::walker {

struct Scores {
  std::vector<double> values;
  void add(double value) { values.push_back(value); }
  double mean() const {
    double sum = 0;
    for (double v : values) sum += v;
    return sum / static_cast<double>(values.size());
  }
  double deviation() const {
    double sum = 0;
    for (double v : values) sum += (v - mean()) * (v - mean());
    return std::sqrt(sum / static_cast<double>(values.size() - 1));
  }
  double standard_error() const { return deviation() / std::sqrt(static_cast<double>(values.size())); }
};

/// Episode i has seeds i. Gym's own test begins each with an action of zeros.
inline Scores heuristic_scores(const EnvironmentOptions& options, int64_t episodes, bool zero_first = true) {
  Scores scores{std::vector<double>(static_cast<size_t>(episodes))};
  parallel_for(episodes, 1, [&](int64_t begin, int64_t end) {
    Environment environment(options);
    for (int64_t i = begin; i < end; ++i) {
      const auto seed = static_cast<uint64_t>(i);
      const Observation first = environment.reset(seed, seed);
      Heuristic walker;
      Action action = zero_first ? Action{} : walker.act(first);
      double sum = 0;
      for (Transition t; !t.over(); action = walker.act(t.observation)) {
        t = environment.step(action);
        sum += t.reward;
      }
      scores.values[static_cast<size_t>(i)] = sum;
    }
  });
  return scores;
}

}  // namespace gradus::walker
