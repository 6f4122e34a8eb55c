// Drawing the walker: one picture of a moment, or a whole episode in one picture.
#pragma once

#include <vector>

#include "apps/walker/environment.h"
#include "apps/walker/picture.h"

namespace gradus::walker {

/// What is drawn of an episode: its terrain, and the pose after every step.
struct Episode {
  Terrain terrain;
  std::vector<Pose> poses;
  double episode_return = 0;
  bool arrived = false, fell = false;
};

/// The walker and what is around it, as Gym shows it: 600 x 400 pixels of 20 m x 13.3 m.
Picture draw_moment(const Terrain& terrain, const Pose& pose);

/// A filmstrip: the terrain that was walked in `rows` strips, one below the other, with a walker every `meters`.
Picture draw_filmstrip(const Episode& episode, double meters = 2.6, int rows = 4);

}  // namespace gradus::walker
