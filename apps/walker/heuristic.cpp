#include "apps/walker/heuristic.h"

#include <algorithm>
#include <optional>

namespace gradus::walker {

Action Heuristic::act(const Observation& seen) {
  constexpr double straight = 0.1, fast = 0.29;  // of a knee; forward speed, in the observation's units
  struct Leg {
    double hip, hip_speed, knee, knee_speed;
    bool contact;
    std::optional<double> hip_target = {}, knee_target = {};
  };
  const auto leg = [&](size_t i) {
    const float* at = &seen[4 + 5 * i];
    return Leg{at[0], at[1], at[2], at[3], at[4] != 0};
  };
  Leg legs[] = {leg(0), leg(1)};
  Leg &moving = legs[moving_], &supporting = legs[1 - moving_];
  const double speed = seen[2];

  // A phase that ends hands over to the next within the same step.
  if (phase_ == Phase::swing) {
    moving.hip_target = 1.1;
    moving.knee_target = -0.6;
    support_ = std::min(support_ + (speed > fast ? 0.06 : 0.03), straight);
    supporting.knee_target = support_;
    if (supporting.hip < 0.1) phase_ = Phase::land;
  }
  if (phase_ == Phase::land) {
    moving.hip_target = 0.1;
    moving.knee_target = straight;
    supporting.knee_target = support_;
    if (moving.contact) {
      phase_ = Phase::push;
      support_ = std::min(moving.knee, straight);
    }
  }
  if (phase_ == Phase::push) {
    moving.knee_target = support_;
    supporting.knee_target = 1;
    if (supporting.knee > 0.88 || speed > 1.2 * fast) {
      phase_ = Phase::swing;
      moving_ = 1 - moving_;
    }
  }

  Action action;
  for (size_t i : {0, 1}) {
    const Leg& l = legs[i];
    const double hip = l.hip_target ? 0.9 * (*l.hip_target - l.hip) - 0.25 * l.hip_speed : 0,
                 knee = l.knee_target ? 4 * (*l.knee_target - l.knee) - 0.25 * l.knee_speed : 0;
    const double upright = 0.9 * seen[0] + 1.5 * seen[1], sinking = 15.0 * seen[3];
    action[2 * i] = static_cast<float>(std::clamp(0.5 * (hip + upright), -1.0, 1.0));
    action[2 * i + 1] = static_cast<float>(std::clamp(0.5 * (knee - sinking), -1.0, 1.0));
  }
  return action;
}

}  // namespace gradus::walker
