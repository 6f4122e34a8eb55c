#include "apps/walker/terrain.h"

#include <charconv>
#include <cmath>

#include "core/error.h"

namespace gradus::walker {
namespace {

using Kind = TerrainOptions::Kind;

enum class State { grass, stump, stairs, pit };

constexpr int64_t stair_width = 4, pit_depth = 4;  // terrain steps

// Walks along the points once, as Gym does: stretches of grass and obstacles alternate, and each obstacle draws its
// polygons at its first point.
class Maker {
 public:
  Maker(const TerrainOptions& options, Generator& random) : options_(options), random_(random) {
    if (options.kind == Kind::hardcore) obstacles_ = {State::stump, State::stairs, State::pit};
    if (options.kind != Kind::poet) return;
    if (options.stump) obstacles_.push_back(State::stump);
    if (options.stair) obstacles_.push_back(State::stairs);
    if (options.gap) obstacles_.push_back(State::pit);
  }

  Terrain make() {
    for (int64_t i = 0; i < terrain_points; ++i) {
      x_ = static_cast<double>(i) * terrain_step;
      if (first_)
        begin();
      else
        go_on(i);
      terrain_.ground.push_back({x_, y_});
      first_ = false;
      if (--counter_ == 0) next_stretch();
    }
    return std::move(terrain_);
  }

 private:
  bool poet() const { return options_.kind == Kind::poet; }
  double uniform(const Range& range) { return range.low + (range.high - range.low) * random_.uniform(); }
  /// In [low, high).
  int64_t integer(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_.below(static_cast<uint64_t>(high - low)));
  }

  void next_stretch() {
    counter_ = integer(grass / 2, grass);
    state_ = state_ == State::grass && !obstacles_.empty()
                 ? obstacles_[static_cast<size_t>(random_.below(obstacles_.size()))]
                 : State::grass;
    first_ = true;
  }

  // A box from (x, y) to (x + width, y + height), given in terrain steps from where we are.
  void box(double x, double y, double width, double height) {
    const auto at = [&](double dx, double dy) { return Point{x_ + dx * terrain_step, y_ + dy * terrain_step}; };
    terrain_.obstacles.push_back({at(x, y), at(x + width, y), at(x + width, y + height), at(x, y + height)});
  }

  void begin() {
    start_ = y_;
    if (state_ == State::pit) {
      const double gap = poet() ? 1 + uniform(*options_.gap) : static_cast<double>(integer(3, 5));
      box(0, 0, 1, -pit_depth);
      box(gap, 0, 1, -pit_depth);
      counter_ = static_cast<int64_t>(std::ceil(gap));
      early_ = static_cast<double>(counter_) - gap;
      counter_ += 2;
    } else if (state_ == State::stump) {
      counter_ = poet() ? 1 : integer(1, 3);
      box(0, 0, static_cast<double>(counter_), poet() ? uniform(*options_.stump) : static_cast<double>(counter_));
    } else if (state_ == State::stairs) {
      stair_height_ = poet() ? uniform(*options_.stair) : 1;
      slope_ = random_.uniform() > 0.5 ? 1 : -1;
      stairs_ = poet() ? integer(static_cast<int64_t>(options_.stair_count.low),
                                 static_cast<int64_t>(options_.stair_count.high))
                       : integer(3, 5);
      for (int64_t k = 0; k < stairs_; ++k)
        box(static_cast<double>(k * stair_width), static_cast<double>(k) * stair_height_ * slope_, stair_width,
            -stair_height_);
      counter_ = stairs_ * stair_width + (poet() ? 1 : 0);
    }
  }

  void go_on(int64_t i) {
    if (state_ == State::grass) {
      velocity_ = 0.8 * velocity_ + 0.01 * (terrain_height > y_ ? 1 : terrain_height < y_ ? -1 : 0);
      if (i > start_pad) velocity_ += uniform({-1, 1}) / 30;
      y_ += (poet() ? options_.roughness : 1) * velocity_;
    } else if (state_ == State::pit) {
      y_ = start_ - (counter_ > 1 ? pit_depth * terrain_step : 0);
      if (counter_ == 1) x_ -= early_ * terrain_step;  // the far edge of a gap of no whole number of steps
    } else if (state_ == State::stairs && poet()) {
      const int64_t stair = (stairs_ * stair_width - counter_) / stair_width;  // whole stairs, never negative
      const double drop = slope_ < 0 ? stair_height_ : 0;
      y_ = start_ + (static_cast<double>(stair) * stair_height_ * slope_ - drop) * terrain_step;
    } else if (state_ == State::stairs) {
      const double along = static_cast<double>(stairs_ * stair_width - counter_) - slope_;
      y_ = start_ + along / stair_width * slope_ * terrain_step;
    }
  }

  const TerrainOptions& options_;
  Generator& random_;
  std::vector<State> obstacles_;
  Terrain terrain_;
  State state_ = State::grass;
  bool first_ = false;  ///< of a stretch
  int64_t counter_ = start_pad, stairs_ = 0;
  double x_ = 0, y_ = terrain_height, velocity_ = 0;
  double start_ = 0;  ///< height where the obstacle began
  double early_ = 0, stair_height_ = 1, slope_ = 1;
};

double parse_number(const std::string& text, const std::string& whole) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= 0 && value <= 100))
    fail(ErrorKind::value, "terrain", "'", text, "' in '", whole, "' is not a number from 0 to 100");
  return value;
}

Range parse_range(const std::string& text, const std::string& whole) {
  const size_t dash = text.find('-');
  if (dash == std::string::npos)
    fail(ErrorKind::value, "terrain", "'", text, "' in '", whole, "' is not a range such as 0.4-1.2");
  const Range range{parse_number(text.substr(0, dash), whole), parse_number(text.substr(dash + 1), whole)};
  if (range.high < range.low) fail(ErrorKind::value, "terrain", "'", text, "' in '", whole, "' ends before it begins");
  return range;
}

}  // namespace

Terrain make_terrain(const TerrainOptions& options, Generator& random) { return Maker(options, random).make(); }

TerrainOptions parse_terrain(const std::string& text) {
  if (text == "stock") return {};
  if (text == "hardcore") return {.kind = Kind::hardcore};
  if (text == "rough") return {.kind = Kind::poet};
  if (text == "rough-obstacles") return {.kind = Kind::poet, .gap = Range{0.8, 2.4}, .stump = Range{0, 1.2}};
  if (!text.starts_with("poet:"))
    fail(ErrorKind::value, "terrain", "'", text,
         "' is none of stock, hardcore, rough, rough-obstacles, and not a list such as poet:roughness=1,stump=0-0.4");
  TerrainOptions options{.kind = Kind::poet};
  for (size_t at = 5; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string item = text.substr(at, end - at);
    const size_t sign = std::min(item.find('='), item.size());
    const std::string name = item.substr(0, sign), value = sign < item.size() ? item.substr(sign + 1) : "";
    if (name == "roughness")
      options.roughness = parse_number(value, text);
    else if (name == "gap")
      options.gap = parse_range(value, text);
    else if (name == "stump")
      options.stump = parse_range(value, text);
    else if (name == "stair")
      options.stair = parse_range(value, text);
    else if (name == "steps")
      options.stair_count = parse_range(value, text);
    else
      fail(ErrorKind::value, "terrain", "'", item, "' in '", text,
           "' sets none of roughness, gap, stump, stair, steps");
    at = end + 1;
  }
  const Range& count = options.stair_count;
  if (std::floor(count.low) != count.low || std::floor(count.high) != count.high || count.low < 1 ||
      count.high <= count.low)
    fail(ErrorKind::value, "terrain", "steps in '", text, "' must be whole numbers from 1 on, the second larger: 1-4");
  return options;
}

std::string terrain_remark(const std::string& text) {
  const bool steps = text.find(":steps=") != std::string::npos || text.find(",steps=") != std::string::npos;
  return steps && text.find("stair=") == std::string::npos ? "steps in '" + text + "' has no effect without stair" : "";
}

}  // namespace gradus::walker
