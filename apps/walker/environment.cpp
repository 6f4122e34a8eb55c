#include "apps/walker/environment.h"

#include <box2d/box2d.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace gradus::walker {
namespace {

constexpr double pixels_per_meter = 30;
constexpr double speed_hip = 4, speed_knee = 6, motor_torque = 80;
constexpr double lidar_range = 160 / pixels_per_meter, leg_down = -8 / pixels_per_meter,
                 leg_width = 8 / pixels_per_meter, leg_height = 34 / pixels_per_meter;
constexpr double start_x = terrain_step * start_pad / 2, start_y = terrain_height + 2 * leg_height;
constexpr float ground_friction = 2.5f;
constexpr uint16_t ground_category = 0x1, walker_category = 0x20;
constexpr int velocity_iterations = 180, position_iterations = 60;

b2Vec2 vec(double x, double y) { return {static_cast<float>(x), static_cast<float>(y)}; }
b2Vec2 vec(const Point& point) { return vec(point.x, point.y); }

// Box2D takes corners for one that are closer than half its slop, and ends the program over what is left of the box: of
// a stump that low there is none.
bool too_low(const std::array<Point, 4>& box) { return std::abs(vec(box[2]).y - vec(box[1]).y) < b2_linearSlop / 2; }

// A ray as Gym casts it: see Lidar.
class Ray : public b2RayCastCallback {
 public:
  explicit Ray(Lidar lidar) : nearest_(lidar == Lidar::v3) {}
  float fraction() const { return fraction_; }

  float ReportFixture(b2Fixture* fixture, const b2Vec2&, const b2Vec2&, float fraction) override {
    if ((fixture->GetFilterData().categoryBits & ground_category) == 0) return nearest_ ? -1.0f : 1.0f;
    fraction_ = fraction;
    return nearest_ ? fraction : 0.0f;
  }

 private:
  bool nearest_;
  float fraction_ = 1;
};

}  // namespace

struct Environment::World : b2ContactListener {
  World(const EnvironmentOptions& options, uint64_t terrain_seed, uint64_t start_seed)
      : world(b2Vec2(0, -10)), lidar(options.lidar) {
    world.SetContactListener(this);
    // Box2D 2.3, which Gym runs on, keeps bodies awake whose motors are set.
    world.SetAllowSleeping(false);
    Generator random(terrain_seed, 1);
    terrain = make_terrain(options.terrain, random);
    build_terrain();
    build_walker(options, start_seed);
  }

  void BeginContact(b2Contact* contact) override {
    for (const b2Body* body : {contact->GetFixtureA()->GetBody(), contact->GetFixtureB()->GetBody()}) {
      if (body == hull) fell = true;
      for (size_t i : {0, 1})
        if (body == legs[2 * i + 1]) touching[i] = true;
    }
  }
  // A flag and no counter, as in Gym: of two edges that a foot stands on, the first that it leaves clears it.
  void EndContact(b2Contact* contact) override {
    for (const b2Body* body : {contact->GetFixtureA()->GetBody(), contact->GetFixtureB()->GetBody()})
      for (size_t i : {0, 1})
        if (body == legs[2 * i + 1]) touching[i] = false;
  }

  void build_terrain() {
    const auto add = [&](const b2Shape& shape) {
      b2FixtureDef fixture;
      fixture.shape = &shape;
      fixture.friction = ground_friction;
      const b2BodyDef still;
      world.CreateBody(&still)->CreateFixture(&fixture);
    };
    for (const auto& corners : terrain.obstacles) {
      if (too_low(corners)) continue;
      b2Vec2 points[4];
      std::transform(corners.begin(), corners.end(), points, [](const Point& p) { return vec(p); });
      b2PolygonShape box;
      box.Set(points, 4);
      add(box);
    }
    for (size_t i = 0; i + 1 < terrain.ground.size(); ++i) {
      b2EdgeShape edge;
      edge.SetTwoSided(vec(terrain.ground[i]), vec(terrain.ground[i + 1]));
      add(edge);
    }
  }

  b2Body* build_part(double x, double y, double angle, const b2PolygonShape& shape, float density,
                     std::optional<float> friction = {}) {
    b2BodyDef body;
    body.type = b2_dynamicBody;
    body.position = vec(x, y);
    body.angle = static_cast<float>(angle);
    b2FixtureDef fixture;
    fixture.shape = &shape;
    fixture.density = density;
    if (friction) fixture.friction = *friction;
    fixture.filter.categoryBits = walker_category;
    fixture.filter.maskBits = ground_category;
    b2Body* part = world.CreateBody(&body);
    part->CreateFixture(&fixture);
    return part;
  }

  b2RevoluteJoint* join(b2Body* a, double y_a, b2Body* b, double lower, double upper, double speed,
                        double reference_angle) {
    b2RevoluteJointDef joint;
    joint.bodyA = a;
    joint.bodyB = b;
    joint.localAnchorA = vec(0, y_a);
    joint.localAnchorB = vec(0, leg_height / 2);
    joint.referenceAngle = static_cast<float>(reference_angle);
    joint.enableMotor = joint.enableLimit = true;
    joint.lowerAngle = static_cast<float>(lower);
    joint.upperAngle = static_cast<float>(upper);
    joint.maxMotorTorque = motor_torque;
    joint.motorSpeed = static_cast<float>(speed);
    return static_cast<b2RevoluteJoint*>(world.CreateJoint(&joint));
  }

  void build_walker(const EnvironmentOptions& options, uint64_t start_seed) {
    Generator random(start_seed, 2);
    const double push = options.force * (2 * random.uniform() - 1);
    const double x = start_x + options.jitter * terrain_step * (2 * random.uniform() - 1);

    b2PolygonShape shape;
    b2Vec2 corners[] = {vec(-30, 9), vec(6, 9), vec(34, 1), vec(34, -8), vec(-30, -8)};
    for (b2Vec2& corner : corners) corner = vec(corner.x / pixels_per_meter, corner.y / pixels_per_meter);
    shape.Set(corners, 5);
    hull = build_part(x, start_y, 0, shape, 5, 0.1f);
    hull->ApplyForceToCenter(vec(push, 0), true);
    for (int i : {0, 1}) {
      const double side = 2 * i - 1, tilt = 0.05 * side;
      shape.SetAsBox(static_cast<float>(leg_width / 2), static_cast<float>(leg_height / 2));
      b2Body* upper = build_part(x, start_y - leg_height / 2 - leg_down, tilt, shape, 1);
      joints[2 * i] = join(hull, leg_down, upper, -0.8, 1.1, side, options.reference_angle ? tilt : 0);
      shape.SetAsBox(static_cast<float>(0.8 * leg_width / 2), static_cast<float>(leg_height / 2));
      b2Body* lower = build_part(x, start_y - leg_height * 3 / 2 - leg_down, tilt, shape, 1);
      joints[2 * i + 1] = join(upper, -leg_height / 2, lower, -1.6, -0.1, 1, 0);
      legs[2 * i] = upper;
      legs[2 * i + 1] = lower;
    }
  }

  Transition act(const Action& action) {
    double effort = 0;
    for (size_t k = 0; k < joints.size(); ++k) {
      const double size = std::min(std::abs(static_cast<double>(action[k])), 1.0);
      const double sign = action[k] > 0 ? 1 : action[k] < 0 ? -1 : 0;
      joints[k]->SetMotorSpeed(static_cast<float>((k % 2 == 0 ? speed_hip : speed_knee) * sign));
      joints[k]->SetMaxMotorTorque(static_cast<float>(motor_torque * size));
      effort += size;
    }
    world.Step(static_cast<float>(1 / steps_per_second), velocity_iterations, position_iterations);

    Transition result;
    observe(result.observation);
    const double x = hull->GetPosition().x;
    const double shaping = 130 * x / pixels_per_meter - 5 * std::abs(static_cast<double>(hull->GetAngle()));
    result.reward = (started ? shaping - shaping_before : 0) - 0.00035 * motor_torque * effort;
    started = true;
    shaping_before = shaping;
    if (fell || x < 0) result.reward = -100;
    result.ended = fell || x < 0 || x > (terrain_points - grass) * terrain_step;
    return result;
  }

  void observe(Observation& to) {
    const b2Vec2 velocity = hull->GetLinearVelocity();
    auto set = [&to, i = size_t{0}](double value) mutable { to[i++] = static_cast<float>(value); };
    set(hull->GetAngle());
    set(2.0 * hull->GetAngularVelocity() / steps_per_second);
    set(0.3 * velocity.x * (600 / pixels_per_meter) / steps_per_second);
    set(0.3 * velocity.y * (400 / pixels_per_meter) / steps_per_second);
    for (size_t leg : {0, 1}) {
      const b2RevoluteJoint &hip = *joints[2 * leg], &knee = *joints[2 * leg + 1];
      set(hip.GetJointAngle());
      set(hip.GetJointSpeed() / speed_hip);
      set(knee.GetJointAngle() + 1.0);
      set(knee.GetJointSpeed() / speed_knee);
      set(touching[leg] ? 1 : 0);
    }
    const b2Vec2 eye = hull->GetPosition();
    for (size_t i = 0; i < seen.size(); ++i) {
      const double angle = 0.15 * static_cast<double>(i);
      const b2Vec2 end = vec(eye.x + std::sin(angle) * lidar_range, eye.y - std::cos(angle) * lidar_range);
      Ray ray(lidar);
      world.RayCast(&ray, eye, end);
      set(ray.fraction());
      seen[i] = eye + ray.fraction() * (end - eye);
    }
  }

  b2World world;
  Lidar lidar;
  Terrain terrain;
  b2Body* hull = nullptr;
  std::array<b2Body*, 4> legs{};
  std::array<b2RevoluteJoint*, 4> joints{};
  std::array<b2Vec2, 10> seen{};
  bool touching[2] = {}, fell = false, started = false;
  double shaping_before = 0;
};

Environment::Environment(const EnvironmentOptions& options) : options_(options) {
  if (options.time_limit < 1)
    fail(ErrorKind::value, "walker", "the time limit must be at least 1 step, got ", options.time_limit);
  if (!(options.force >= 0 && options.force <= 1000))
    fail(ErrorKind::value, "walker", "the force must lie in [0, 1000] newtons, got ", options.force);
  if (!(options.jitter >= 0 && options.jitter <= 5))
    fail(ErrorKind::value, "walker", "the jitter must lie in [0, 5] terrain steps, got ", options.jitter);
}

Environment::~Environment() = default;
Environment::Environment(Environment&&) noexcept = default;
Environment& Environment::operator=(Environment&&) noexcept = default;

Observation Environment::reset(uint64_t terrain_seed, uint64_t start_seed) {
  world_.reset();  // first, so that its memory serves the next
  world_ = std::make_unique<World>(options_, terrain_seed, start_seed);
  steps_ = 0;
  return world_->act({}).observation;  // the step inside Gym's reset: it sets the baseline of the reward
}

Transition Environment::step(const Action& action) {
  if (!world_) fail(ErrorKind::value, "walker", "step() before reset()");
  for (float torque : action)  // Box2D would end the program
    if (!std::isfinite(torque)) fail(ErrorKind::value, "walker", "an action is not finite");
  Transition result = world_->act(action);
  result.out_of_time = ++steps_ >= options_.time_limit && !result.ended;
  return result;
}

const Terrain& Environment::terrain() const {
  if (!world_) fail(ErrorKind::value, "walker", "terrain() before reset()");
  return world_->terrain;
}

Pose Environment::pose() const {
  if (!world_) fail(ErrorKind::value, "walker", "pose() before reset()");
  const auto outline = [](const b2Body& body) {
    const auto& shape = static_cast<const b2PolygonShape&>(*body.GetFixtureList()->GetShape());
    Pose::Polygon points;
    for (int32 i = 0; i < shape.m_count; ++i) {
      const b2Vec2 point = body.GetWorldPoint(shape.m_vertices[i]);
      points.push_back({point.x, point.y});
    }
    return points;
  };
  Pose pose;
  for (size_t i = 0; i < pose.legs.size(); ++i) pose.legs[i] = outline(*world_->legs[i]);
  pose.hull = outline(*world_->hull);
  pose.eye = {world_->hull->GetPosition().x, world_->hull->GetPosition().y};
  for (size_t i = 0; i < pose.seen.size(); ++i) pose.seen[i] = {world_->seen[i].x, world_->seen[i].y};
  return pose;
}

}  // namespace gradus::walker
