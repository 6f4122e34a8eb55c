// The objective on which trajectories of other programs were stored, and how far ours are from them.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "autograd/ops.h"
#include "optim/optimizer.h"

namespace gradus::optim {

/// A file of tests/golden.
inline const nlohmann::json& golden_file(const std::string& name) {
  static std::map<std::string, nlohmann::json> read;
  if (!read.contains(name)) {
    const char* root = std::getenv("GRADUS_SOURCE_ROOT");
    std::ifstream file(std::string(root != nullptr ? root : ".") + "/tests/golden/" + name);
    REQUIRE(file);
    read[name] = nlohmann::json::parse(file);
  }
  return read[name];
}

/// The generators' objective of w, 12 numbers: sum of (1 + i mod 3) (sin w_i + 0.3 w_i w_(i+1))^2, indices wrapping
/// around.
inline Var objective(const Var& w) {
  const Var flat = reshape(w, {12});
  const Var next = concat({slice(flat, 0, 1, 12), slice(flat, 0, 0, 1)}, 0);
  const Tensor factor = Tensor::from<double>({1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3}, {12});
  return sum(factor * square(sin(flat) + flat * next * 0.3));
}

inline Parameter start(const Shape& shape = {3, 4}) {
  std::vector<double> values;
  for (int i = 0; i < 12; ++i) values.push_back((7 * i % 12 - 5.5) / 4);
  return {Tensor::from(values, shape), {.name = "w", .layer = LayerKind::linear, .role = ParamRole::weight}};
}

/// The largest distance to a stored trajectory, over all elements of all points. `see`, where given, may replace the
/// numbers that are compared.
inline double distance(const nlohmann::json& points, Parameter w, const std::function<void(Builder&)>& describe,
                       const std::function<std::vector<double>(const Optimizer&, const Parameter&)>& see = {}) {
  Builder builder = over({w});
  describe(builder);
  Optimizer optimizer = builder.build();
  double worst = 0;
  for (const auto& point : points) {
    optimizer.zero_grad();
    objective(w).backward();
    optimizer.step();
    const std::vector<double> ours = see ? see(optimizer, w) : w.value().to_vector<double>();
    REQUIRE(ours.size() == point.size());
    for (size_t i = 0; i < ours.size(); ++i) worst = std::max(worst, std::abs(ours[i] - point.at(i).get<double>()));
  }
  return worst;
}

}  // namespace gradus::optim
