#include <doctest/doctest.h>

#include <cmath>

#include "apps/walker/environment.h"
#include "apps/walker/heuristic.h"
#include "tests/apps/walker_episodes.h"
#include "tests/data/temporary_folder.h"

namespace gradus::walker {
namespace {

std::vector<float> trace(uint64_t seed, int64_t steps, const TerrainOptions& terrain = {}) {
  Environment environment({.terrain = terrain});
  Generator random(seed, 7);
  std::vector<float> bits;
  const auto add = [&](const Observation& o) { bits.insert(bits.end(), o.begin(), o.end()); };
  add(environment.reset(seed, seed));
  for (int64_t i = 0; i < steps; ++i) {
    Action action;
    for (float& a : action) a = static_cast<float>(2 * random.uniform() - 1);
    const Transition t = environment.step(action);
    add(t.observation);
    bits.push_back(static_cast<float>(t.reward));
    if (t.over()) break;
  }
  return bits;
}

}  // namespace

// The values of an independent re-implementation of Gym's walker on Box2D 2.4.1.
TEST_CASE("the first observation on the flat pad, without a push, is Gym's") {
  const Observation expected{0.00275f, 0,        0,        -0.01600f, 0.09215f, 0,        0.86016f, 0.00140f,
                             1,        0.03256f, 0,        0.85371f,  0,        1,        0.44081f, 0.44582f,
                             0.46142f, 0.48955f, 0.53410f, 0.60246f,  0.70915f, 0.88593f, 1,        1};
  for (const std::string terrain : {"stock", "rough", "poet:roughness=0"}) {
    CAPTURE(terrain);
    const Observation first = Environment({.terrain = parse_terrain(terrain), .force = 0}).reset(3, 4);
    for (size_t i = 0; i < first.size(); ++i) {
      CAPTURE(i);
      CHECK(std::abs(first[i] - expected[i]) <= 1e-4f);
    }
  }
  // Box2D's own default would measure the hips from another angle.
  const Observation other = Environment({.force = 0, .reference_angle = false}).reset(3, 4);
  CHECK(std::abs(other[4] - expected[4]) > 0.04f);
}

TEST_CASE("equal seeds and actions give equal bits, for 100 seeds; other seeds give others") {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    CAPTURE(seed);
    const std::vector<float> once = trace(seed, 600);
    CHECK(once == trace(seed, 600));
    CHECK(once != trace(seed + 1, 600));
  }
  CHECK(trace(5, 600, parse_terrain("hardcore")) == trace(5, 600, parse_terrain("hardcore")));
}

// Gym's walker scores 102.6 +- 125 and -59.2 +- 25 over 1000 episodes; 4000 episodes are in walker_long_test.cpp. The
// bounds are those for 4000 and three standard errors of these fewer episodes.
TEST_CASE("the heuristic walker scores as in Gym, on normal and on hardcore terrain") {
  const Scores normal = heuristic_scores({.terrain = parse_terrain("stock")}, 150);
  CHECK(std::abs(normal.mean() - 102.6) < 20 + 3 * normal.standard_error());
  CHECK(normal.standard_error() < 15);
  const Scores hardcore = heuristic_scores({.terrain = parse_terrain("hardcore"), .time_limit = 2000}, 50);
  CHECK(std::abs(hardcore.mean() + 59.2) < 10 + 3 * hardcore.standard_error());
  CHECK(hardcore.standard_error() < 6);
  // What the checks above can tell: without Gym's reference angle, or without its first action of zeros, the task is
  // another one.
  const Scores easy = heuristic_scores({.reference_angle = false}, 50);
  CHECK(easy.mean() > 250);
  const Scores hasty = heuristic_scores({}, 150, false);
  CHECK(hasty.mean() < normal.mean() - 20);
}

TEST_CASE("uniform random actions fall, and score about -100") {
  Scores scores;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    Environment environment({});
    environment.reset(seed, seed);
    Generator random(seed, 9);
    double sum = 0;
    for (Transition t; !t.over(); sum += t.reward) {
      Action action;
      for (float& a : action) a = static_cast<float>(2 * random.uniform() - 1);
      t = environment.step(action);
    }
    scores.add(sum);
  }
  CHECK(std::abs(scores.mean() + 100.8) < 5);
}

TEST_CASE("an episode ends at its time limit, which is no fall") {
  Environment environment({.time_limit = 3});
  environment.reset(0, 0);
  CHECK(!environment.step({}).over());
  CHECK(!environment.step({}).over());
  const Transition last = environment.step({});
  CHECK(last.out_of_time);
  CHECK(!last.ended);
}

TEST_CASE("a torque costs 0.028 at its most, and an action beyond the limits acts like the limit") {
  const auto second = [](float a) {
    Environment environment({.force = 0});
    environment.reset(0, 0);
    return environment.step({a, a, a, a});
  };
  CHECK(second(1).observation == second(7).observation);
  CHECK(second(1).reward == second(7).reward);
  const Transition idle = second(0), tiny = second(1e-30f);
  CHECK(idle.reward - tiny.reward == doctest::Approx(0).epsilon(1e-6));
}

TEST_CASE("the push, the place and the terrain have seeds of their own") {
  const EnvironmentOptions still{.force = 0}, pushed{}, moved{.force = 0, .jitter = 1};
  CHECK(Environment(still).reset(1, 2) == Environment(still).reset(1, 3));
  CHECK(Environment(pushed).reset(1, 2) != Environment(pushed).reset(1, 3));
  CHECK(Environment(pushed).reset(1, 2) == Environment(pushed).reset(2, 2));  // the pad is flat
  Environment a(moved), b(moved);
  a.reset(1, 2);
  b.reset(1, 3);
  CHECK(a.pose().eye.x != b.pose().eye.x);
  CHECK(std::abs(a.pose().eye.x - b.pose().eye.x) <= 2 * terrain_step);
  CHECK(a.terrain().ground[150].y == b.terrain().ground[150].y);
  b.reset(2, 3);
  CHECK(a.terrain().ground[150].y != b.terrain().ground[150].y);
}

TEST_CASE("lidar v2 ends at a fixture that need not be the nearest; v3 sees the nearest") {
  const TerrainOptions hardcore = parse_terrain("hardcore");
  bool differs = false;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Environment v2({.terrain = hardcore, .lidar = Lidar::v2}), v3({.terrain = hardcore});
    Observation a = v2.reset(seed, seed), b = v3.reset(seed, seed);
    Heuristic walker;
    Action action{};
    for (int64_t i = 0; i < 400; ++i) {
      for (size_t ray = 14; ray < 24; ++ray) {
        REQUIRE(a[ray] >= b[ray]);
        differs = differs || a[ray] > b[ray];
      }
      const Transition t = v3.step(action);
      a = v2.step(action).observation;
      b = t.observation;
      REQUIRE(std::equal(a.begin(), a.begin() + 14, b.begin()));
      action = walker.act(b);
      if (t.over()) break;
    }
  }
  CHECK(differs);
}

TEST_CASE("a stump or a stair that is too low for Box2D is none; 200 landscapes of each kind can be walked on") {
  for (const char* name : {"poet:stump=0-0", "poet:stair=0-0", "poet:stump=0-0.02,stair=0-0.02,gap=0-0,steps=1-4"}) {
    CAPTURE(std::string(name));
    Environment environment({.terrain = parse_terrain(name)});
    for (uint64_t seed = 0; seed < 200; ++seed) {
      environment.reset(seed, seed);
      CHECK(std::isfinite(environment.step({}).reward));
    }
  }
  Environment found({.terrain = parse_terrain("rough-obstacles")});  // with a stump of 0.8 mm
  found.reset(27, 0);
  CHECK(std::isfinite(found.step({}).reward));
}

TEST_CASE("options without sense are refused") {
  const auto text_of = [](const EnvironmentOptions& options) {
    return error_of([&] { const Environment environment(options); });
  };
  CHECK(contains(text_of({.time_limit = 0}), "time limit must be at least 1 step, got 0"));
  CHECK(contains(text_of({.force = -1}), "force must lie in [0, 1000] newtons, got -1"));
  CHECK(contains(text_of({.jitter = 6}), "jitter must lie in [0, 5] terrain steps, got 6"));
  CHECK_THROWS_WITH_AS(Environment({}).step({}), "[walker] step() before reset()", Error);
  CHECK_THROWS_WITH_AS(Environment({}).terrain(), "[walker] terrain() before reset()", Error);
  CHECK_THROWS_WITH_AS(Environment({}).pose(), "[walker] pose() before reset()", Error);
}

}  // namespace gradus::walker
