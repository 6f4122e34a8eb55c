#include <doctest/doctest.h>

#include <cmath>

#include "apps/walker/terrain.h"
#include "tests/data/temporary_folder.h"

namespace gradus::walker {
namespace {

Terrain terrain(const std::string& text, uint64_t seed) {
  Generator random(seed, 1);
  return make_terrain(parse_terrain(text), random);
}

}  // namespace

TEST_CASE("the pad at the start is flat, and the ground is 200 points, a step apart") {
  for (const char* name : {"stock", "hardcore", "rough", "rough-obstacles"}) {
    CAPTURE(name);
    const Terrain t = terrain(name, 5);
    REQUIRE(t.ground.size() == 200);
    for (size_t i = 0; i <= 20; ++i) CHECK(t.ground[i].y == doctest::Approx(terrain_height));
    if (std::string(name) != "rough-obstacles")  // whose pits end where they are wide
      for (size_t i = 0; i < 200; ++i) CHECK(t.ground[i].x == doctest::Approx(static_cast<double>(i) * 14 / 30));
  }
}

TEST_CASE("stock hills have no obstacle, and slopes below the 1/6 that their recursion allows") {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const Terrain t = terrain("stock", seed);
    CHECK(t.obstacles.empty());
    double steepest = 0;
    for (size_t i = 1; i < 200; ++i) steepest = std::max(steepest, std::abs(t.ground[i].y - t.ground[i - 1].y));
    CHECK(steepest > 0.02);
    CHECK(steepest <= (0.01 + 1.0 / 30) / (1 - 0.8));  // |v| <= 0.8 |v| + 0.01 + 1/30
  }
}

TEST_CASE("hardcore has pits 3 or 4 steps wide, stumps of 1 or 2 steps, stairs one step high") {
  bool wide[5] = {}, stump[3] = {}, up = false, down = false;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const Terrain t = terrain("hardcore", seed);
    CHECK(t.obstacles.size() >= 10);
    for (size_t i = 0; i < t.obstacles.size(); ++i) {
      const auto& box = t.obstacles[i];
      const double width = (box[1].x - box[0].x) / terrain_step, height = (box[2].y - box[1].y) / terrain_step;
      if (height == doctest::Approx(-4)) {  // a pit's two walls
        REQUIRE(i + 1 < t.obstacles.size());
        const double gap = (t.obstacles[i + 1][0].x - box[0].x) / terrain_step;
        CHECK((gap == doctest::Approx(3) || gap == doctest::Approx(4)));
        wide[std::lround(gap)] = true;
        ++i;
      } else if (height > 0) {
        CHECK(height == doctest::Approx(width));
        stump[std::lround(width)] = true;
      } else {
        CHECK(width == doctest::Approx(4));
        CHECK(height == doctest::Approx(-1));
        if (i + 1 == t.obstacles.size()) continue;
        const auto& next = t.obstacles[i + 1];
        const double rise = (next[0].y - box[0].y) / terrain_step;
        if (next[0].x != doctest::Approx(box[1].x)) continue;  // the next flight
        CHECK(std::abs(rise) == doctest::Approx(1));
        (rise > 0 ? up : down) = true;
      }
    }
  }
  CHECK((wide[3] && wide[4] && stump[1] && stump[2] && up && down));
}

TEST_CASE("POET's parameters: roughness scales the hills, and an obstacle without a range does not occur") {
  const Terrain flat = terrain("poet:roughness=0", 1), rough = terrain("poet:roughness=1", 1),
                stock = terrain("stock", 1);
  CHECK(flat.obstacles.empty());
  for (size_t i = 0; i < 200; ++i) {
    CHECK(flat.ground[i].y == doctest::Approx(terrain_height));
    CHECK(rough.ground[i].y == stock.ground[i].y);
  }
  for (const auto& box : terrain("poet:stump=0.5-0.7", 2).obstacles) {
    CHECK((box[1].x - box[0].x) / terrain_step == doctest::Approx(1));
    const double height = (box[2].y - box[1].y) / terrain_step;
    CHECK(height >= 0.5 - 1e-9);
    CHECK(height < 0.7);
  }
  const Terrain pits = terrain("poet:roughness=0,gap=0.5-0.5", 3);
  REQUIRE(pits.obstacles.size() >= 2);
  const double edge = pits.obstacles[1][0].x;  // the far wall of a gap of 1.5 steps
  CHECK((edge - pits.obstacles[0][0].x) / terrain_step == doctest::Approx(1.5));
  bool found = false;
  for (const Point& p : pits.ground) found = found || std::abs(p.x - edge - terrain_step) < 1e-9;
  CHECK(found);  // the ground comes up behind the wall's top, half a step before its grid point
  const Terrain stairs = terrain("poet:roughness=0,stair=0.4-0.4,steps=3-4", 4);
  REQUIRE(stairs.obstacles.size() >= 3);
  CHECK(std::abs(stairs.obstacles[1][0].y - stairs.obstacles[0][0].y) / terrain_step == doctest::Approx(0.4));
}

TEST_CASE("a terrain that cannot be read is refused with what is wrong") {
  const auto refused = [](const std::string& text, const char* part) {
    CHECK(contains(error_of([&] { parse_terrain(text); }), part));
  };
  refused("moon", "'moon' is none of stock, hardcore, rough, rough-obstacles");
  refused("poet:hills=1", "'hills=1' in 'poet:hills=1' sets none of roughness, gap, stump, stair, steps");
  refused("poet:roughness=x", "'x' in 'poet:roughness=x' is not a number from 0 to 100");
  refused("poet:gap=1", "'1' in 'poet:gap=1' is not a range such as 0.4-1.2");
  refused("poet:gap=2-1", "'2-1' in 'poet:gap=2-1' ends before it begins");
  refused("poet:stair=0-1,steps=0-2", "must be whole numbers from 1 on");
}

}  // namespace gradus::walker
