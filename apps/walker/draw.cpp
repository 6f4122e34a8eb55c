#include "apps/walker/draw.h"

#include <algorithm>
#include <cmath>

namespace gradus::walker {
namespace {

constexpr Color sky = {232, 240, 250}, ground = {120, 160, 90}, turf = {70, 110, 50}, stone = {150, 150, 150},
                hull = {110, 90, 190}, near_leg = {200, 120, 130}, far_leg = {130, 80, 110}, beam = {220, 60, 50},
                flag = {220, 80, 30}, ink = {60, 60, 60};

// A window of the world in a part of a picture: `scale` pixels per meter, (x, y) at its lower left corner.
struct View {
  double x, y, scale;
  double left, top, width, height;  // pixels

  Point operator()(const Point& p) const { return {left + (p.x - x) * scale, top + height - (p.y - y) * scale}; }
  double right() const { return x + width / scale; }
};

void add(Picture& picture, const View& view, const std::vector<Point>& points, const Color& color, double opacity = 1) {
  Picture::Polygon polygon{{}, color, opacity};
  for (const Point& point : points) polygon.points.push_back(view(point));
  picture.polygons.push_back(std::move(polygon));
}

void draw_terrain(Picture& picture, const View& view, const Terrain& terrain) {
  const double low = view.y;
  const auto outside = [&](double from, double to) { return to < view.x || from > view.right(); };
  const auto inside = [&](Point p) {
    p.x = std::clamp(p.x, view.x, view.right());
    return p;
  };
  for (size_t i = 0; i + 1 < terrain.ground.size(); ++i) {
    const Point &a = terrain.ground[i], &b = terrain.ground[i + 1];
    if (outside(a.x, b.x)) continue;
    const double overlap = 1 / view.scale;  // a pixel, so that no edge between two of them shows
    add(picture, view, {inside({a.x, low}), inside({b.x + overlap, low}), inside({b.x + overlap, b.y}), inside(a)},
        ground);
    picture.line(view(inside(a)), view(inside(b)), 0.06 * view.scale, turf);
  }
  for (const auto& box : terrain.obstacles) {
    if (outside(box[0].x, box[1].x)) continue;
    std::vector<Point> points;
    for (const Point& corner : box) points.push_back(inside({corner.x, std::max(corner.y, low)}));
    add(picture, view, points, stone);
  }
  // Where the walk begins, and where it ends.
  for (double x : {3 * terrain_step, (terrain_points - grass) * terrain_step}) {
    if (outside(x, x + 1)) continue;
    double y = terrain_height;
    for (const Point& point : terrain.ground)
      if (point.x <= x) y = point.y;
    picture.line(view({x, y}), view({x, y + 1.6}), 0.06 * view.scale, ink);
    add(picture, view, {{x, y + 1.6}, {x, y + 1.1}, {std::min(x + 0.8, view.right()), y + 1.35}}, flag);
  }
}

void draw_walker(Picture& picture, const View& view, const Pose& pose, double opacity = 1) {
  for (size_t i : {0, 1}) add(picture, view, pose.legs[i], far_leg, opacity);
  add(picture, view, pose.hull, hull, opacity);
  for (size_t i : {2, 3}) add(picture, view, pose.legs[i], near_leg, opacity);
}

}  // namespace

Picture draw_moment(const Terrain& terrain, const Pose& pose) {
  Picture picture{600, 400, sky, {}};
  const View view{pose.eye.x - 4, 0, 30, 0, 0, 600, 400};
  draw_terrain(picture, view, terrain);
  for (const Point& seen : pose.seen) picture.line(view(pose.eye), view(seen), 1, beam, 0.35);
  draw_walker(picture, view, pose);
  return picture;
}

Picture draw_filmstrip(const Episode& episode, double meters, int rows) {
  constexpr double width = 1200, gap = 8;
  const double begin = 0, end = std::max(episode.poses.back().eye.x + 3, 24.0);
  const double length = (end - begin) / rows, scale = width / length;
  double low = 1e300, high = -1e300;
  for (const Point& point : episode.terrain.ground)
    if (point.x <= end) {
      low = std::min(low, point.y - 0.6);
      high = std::max(high, point.y + 3.6);
    }
  const double strip = (high - low) * scale;
  Picture picture{
      static_cast<int>(width), static_cast<int>(std::ceil(rows * (strip + gap) - gap)), {255, 255, 255}, {}};
  for (int row = 0; row < rows; ++row) {
    const View view{begin + row * length, low, scale, 0, row * (strip + gap), width, strip};
    add(picture, view, {{view.x, low}, {view.right(), low}, {view.right(), high}, {view.x, high}}, sky);
    draw_terrain(picture, view, episode.terrain);
    double next = -1e300;
    for (const Pose& pose : episode.poses) {
      const bool last = &pose == &episode.poses.back();
      if (pose.eye.x < view.x + 1 || pose.eye.x > view.right() - 1 || (pose.eye.x < next && !last)) continue;
      draw_walker(picture, view, pose);
      next = pose.eye.x + meters;
    }
  }
  return picture;
}

}  // namespace gradus::walker
