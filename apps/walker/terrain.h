// The ground that the walker walks on: Gym's generators, stock and hardcore, and POET's, by parameters (Wang et al.
// 2019, whose walker the FOP paper's Figure 4 seems to use). Lengths are in meters unless they count terrain steps.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/random.h"

namespace gradus::walker {

inline constexpr double terrain_step = 14.0 / 30, terrain_height = 400.0 / 30 / 4;
inline constexpr int terrain_points = 200, start_pad = 20, grass = 10;

/// From low to below high.
struct Range {
  double low = 0, high = 0;
};

struct TerrainOptions {
  enum class Kind {
    stock,     ///< BipedalWalker: gentle hills
    hardcore,  ///< BipedalWalkerHardcore: stumps, stairs and pits between them
    poet       ///< hills and obstacles as the parameters below say
  };
  Kind kind = Kind::stock;
  double roughness = 1;  ///< multiplies the slope of the hills; 0 is flat
  /// Of poet, in terrain steps; an obstacle without a range does not occur. A pit is 1 + gap wide.
  std::optional<Range> gap = {}, stump = {}, stair = {};
  /// Whole numbers of the range.
  Range stair_count = {1, 2};
};

struct Point {
  double x = 0, y = 0;
};

struct Terrain {
  std::vector<Point> ground;                    ///< terrain_points of them; an edge between each two
  std::vector<std::array<Point, 4>> obstacles;  ///< solid, in the order of their creation
};

/// A pure function of the options and the generator's state.
Terrain make_terrain(const TerrainOptions& options, Generator& random);

/// What --terrain takes: "stock", "hardcore", "rough", "rough-obstacles", or "poet:" and a list of roughness=R,
/// gap=A-B, stump=A-B, stair=A-B, steps=A-B. Throws ErrorKind::value saying what is wrong with it.
TerrainOptions parse_terrain(const std::string& text);
/// What such a text says in vain, for a note; "" where there is nothing.
std::string terrain_remark(const std::string& text);

}  // namespace gradus::walker
