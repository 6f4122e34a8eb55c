// BipedalWalker, the reinforcement learning task of OpenAI Gym, on Box2D: a hull on two legs with four motors, which
// is rewarded for walking to the far end of its terrain.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "apps/walker/terrain.h"

namespace gradus::walker {

inline constexpr int observation_size = 24, action_size = 4;
inline constexpr double steps_per_second = 50;

/// 0 hull angle, 1 its speed, 2 3 velocity, 4-7 angle and speed of hip and knee of the first leg, 8 its contact with
/// the ground, 9-13 the same of the second leg, 14-23 what ten lidar rays see, as parts of their range; scaled as in
/// Gym.
using Observation = std::array<float, observation_size>;
/// Hip and knee of the first leg, then of the second, in [-1, 1]: the sign turns the motor, the size limits its torque.
using Action = std::array<float, action_size>;

enum class Lidar {
  v2,  ///< BipedalWalker-v2 and POET: a ray ends at whatever fixture is visited first
  v3   ///< at the nearest one
};

struct EnvironmentOptions {
  TerrainOptions terrain = {};
  Lidar lidar = Lidar::v3;
  int64_t time_limit = 1600;  ///< steps of an episode
  double force = 5;           ///< newtons: the push at the start is uniform within +- this, and lasts one step
  double jitter = 0;          ///< terrain steps: the start is moved by a uniform length within +- this, at most 5
  /// The angle between hull and leg that counts as 0: as in Gym, whose Python bindings take the one at the start, or,
  /// where this is off, Box2D's own default, which is another and much easier task.
  bool reference_angle = true;
};

struct Transition {
  Observation observation;
  double reward = 0;
  bool ended = false;        ///< fell, or arrived
  bool out_of_time = false;  ///< not ended, but the time limit is reached
  bool over() const { return ended || out_of_time; }
};

/// Where everything is, in meters: for drawing.
struct Pose {
  using Polygon = std::vector<Point>;
  std::array<Polygon, 4> legs;  ///< upper and lower of the first leg, then of the second
  Polygon hull;
  Point eye;  ///< where the lidar rays begin
  std::array<Point, 10> seen;
};

/// Equal options, seeds and actions give equal bits. One per thread.
class Environment {
 public:
  /// Throws ErrorKind::value for options without sense.
  explicit Environment(const EnvironmentOptions& options);
  ~Environment();
  Environment(Environment&&) noexcept;
  Environment& operator=(Environment&&) noexcept;

  /// Starts an episode: terrain, and push and place at the start, are functions of one seed each.
  Observation reset(uint64_t terrain_seed, uint64_t start_seed);
  /// One fiftieth of a second. Not to be called when the episode is over. Actions beyond [-1, 1] act like the limit.
  Transition step(const Action& action);

  const EnvironmentOptions& options() const { return options_; }
  /// Of the episode: after reset().
  const Terrain& terrain() const;
  Pose pose() const;

 private:
  struct World;
  EnvironmentOptions options_;
  std::unique_ptr<World> world_;
  int64_t steps_ = 0;
};

}  // namespace gradus::walker
