// What takes minutes: the acceptance numbers of the walker's environment over 4000 episodes.
#include <doctest/doctest.h>

#include "tests/apps/walker_episodes.h"

namespace gradus::walker {

TEST_CASE("over 4000 episodes the heuristic walker scores within 20 of Gym's 102.6, and within 10 of -59.2") {
  const Scores normal = heuristic_scores({.terrain = parse_terrain("stock")}, 4000);
  MESSAGE("normal: " << normal.mean() << " +- " << normal.deviation());
  CHECK(std::abs(normal.mean() - 102.647) <= 20);
  const Scores hardcore = heuristic_scores({.terrain = parse_terrain("hardcore"), .time_limit = 2000}, 4000);
  MESSAGE("hardcore: " << hardcore.mean() << " +- " << hardcore.deviation());
  CHECK(std::abs(hardcore.mean() + 59.219) <= 10);
}

}  // namespace gradus::walker
