// The hand-written walker that comes with Gym: it knows nothing of balance and often falls, but its mean score tells
// whether an environment is the real one.
#pragma once

#include "apps/walker/environment.h"

namespace gradus::walker {

/// One per episode. The first action of an episode is all zero, as in Gym, and not asked from here.
class Heuristic {
 public:
  Action act(const Observation& seen);

 private:
  enum class Phase { swing, land, push } phase_ = Phase::swing;
  int moving_ = 0;        ///< leg; the other one supports
  double support_ = 0.1;  ///< target of the supporting knee
};

}  // namespace gradus::walker
