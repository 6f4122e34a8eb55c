// Flat pictures of filled polygons, as an SVG file or as pixels: what the walker is drawn with.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "apps/walker/terrain.h"

namespace gradus::walker {

using Color = std::array<uint8_t, 3>;

/// Polygons in pixels, x to the right and y down, drawn one over the other.
struct Picture {
  struct Polygon {
    std::vector<Point> points;  ///< of a convex one, unless only svg() sees it
    Color color;
    double opacity = 1;
  };
  int width = 0, height = 0;
  Color background = {255, 255, 255};
  std::vector<Polygon> polygons;

  void line(const Point& from, const Point& to, double thickness, const Color& color, double opacity = 1);
};

/// An SVG document.
std::string svg(const Picture& picture);
/// height x width x 3 bytes by rows, with smooth edges (four samples per pixel and direction).
std::vector<uint8_t> pixels(const Picture& picture);

/// Throws ErrorKind::io naming the file.
void write_png(const std::string& path, const Picture& picture);
/// An animation that repeats for ever; the pictures have one size.
void write_gif(const std::string& path, const std::vector<Picture>& pictures, int hundredths_between);

}  // namespace gradus::walker
