#include "apps/walker/picture.h"

#include <gif_lib.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>

#include "core/error.h"
#include "core/file.h"
#include "data/image.h"

namespace gradus::walker {
namespace {

constexpr int samples = 4;  // per pixel, in each direction

// Adds to `cover`, one number per pixel of a row from 0 to samples^2, what a convex polygon covers of the row.
void cover_row(const std::vector<Point>& points, int row, std::vector<int>& cover) {
  const auto width = static_cast<int>(cover.size()) * samples;
  for (int s = 0; s < samples; ++s) {
    const double y = row + (s + 0.5) / samples;
    double left = 1e300, right = -1e300;
    for (size_t i = 0; i < points.size(); ++i) {
      const Point &a = points[i], &b = points[(i + 1) % points.size()];
      if ((a.y <= y) == (b.y <= y)) continue;
      const double x = a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x);
      left = std::min(left, x);
      right = std::max(right, x);
    }
    if (left > right) continue;
    const auto column = [&](double x) {  // the first sample whose middle lies at x or after it
      return static_cast<int>(std::clamp(std::ceil(x * samples - 0.5), 0.0, static_cast<double>(width)));
    };
    for (int i = column(left), end = column(right); i < end; ++i) ++cover[static_cast<size_t>(i / samples)];
  }
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  return text;
}

std::string hex(const Color& color) {
  char text[8];
  std::snprintf(text, sizeof text, "#%02x%02x%02x", color[0], color[1], color[2]);
  return text;
}

// The colors of all frames, at most 256: the most frequent ones, and for each other one the nearest of them.
class Palette {
 public:
  explicit Palette(const std::vector<std::vector<uint8_t>>& frames) {
    std::map<Color, int64_t> counts;
    for (const auto& frame : frames)
      for (size_t i = 0; i < frame.size(); i += 3) ++counts[{frame[i], frame[i + 1], frame[i + 2]}];
    std::vector<std::pair<int64_t, Color>> order;
    for (const auto& [color, count] : counts) order.push_back({-count, color});
    std::sort(order.begin(), order.end());
    for (size_t i = 0; i < std::min<size_t>(order.size(), 256); ++i) colors_.push_back(order[i].second);
    for (const auto& entry : order) index_[entry.second] = nearest(entry.second);
  }

  uint8_t index(const Color& color) const { return index_.at(color); }
  std::vector<GifColorType> map() const {
    std::vector<GifColorType> map(256, GifColorType{0, 0, 0});
    for (size_t i = 0; i < colors_.size(); ++i) map[i] = {colors_[i][0], colors_[i][1], colors_[i][2]};
    return map;
  }

 private:
  uint8_t nearest(const Color& color) const {
    const auto distance = [&](const Color& other) {
      int sum = 0;
      for (size_t k = 0; k < 3; ++k) sum += (color[k] - other[k]) * (color[k] - other[k]);
      return sum;
    };
    const auto found = std::min_element(colors_.begin(), colors_.end(),
                                        [&](const Color& a, const Color& b) { return distance(a) < distance(b); });
    return static_cast<uint8_t>(found - colors_.begin());
  }

  std::vector<Color> colors_;
  std::map<Color, uint8_t> index_;
};

int append(GifFileType* file, const GifByteType* bytes, int count) {
  static_cast<std::string*>(file->UserData)->append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(count));
  return count;
}

}  // namespace

void Picture::line(const Point& from, const Point& to, double thickness, const Color& color, double opacity) {
  const double dx = to.x - from.x, dy = to.y - from.y, length = std::hypot(dx, dy);
  if (length == 0) return;
  const double nx = -dy / length * thickness / 2, ny = dx / length * thickness / 2;
  polygons.push_back(
      {{{from.x + nx, from.y + ny}, {to.x + nx, to.y + ny}, {to.x - nx, to.y - ny}, {from.x - nx, from.y - ny}},
       color,
       opacity});
}

std::string svg(const Picture& picture) {
  const std::string size = std::to_string(picture.width), height = std::to_string(picture.height);
  std::string text = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + size + "\" height=\"" + height +
                     "\" viewBox=\"0 0 " + size + " " + height + "\">\n<rect width=\"100%\" height=\"100%\" fill=\"" +
                     hex(picture.background) + "\"/>\n";
  for (const Picture::Polygon& polygon : picture.polygons) {
    text += "<polygon fill=\"" + hex(polygon.color) + "\"";
    if (polygon.opacity < 1) text += " fill-opacity=\"" + number(polygon.opacity) + "\"";
    text += " points=\"";
    for (const Point& point : polygon.points) text += number(point.x) + "," + number(point.y) + " ";
    text.back() = '"';
    text += "/>\n";
  }
  return text + "</svg>\n";
}

std::vector<uint8_t> pixels(const Picture& picture) {
  const auto width = static_cast<size_t>(picture.width), height = static_cast<size_t>(picture.height);
  std::vector<uint8_t> image(width * height * 3);
  for (size_t i = 0; i < image.size(); ++i) image[i] = picture.background[i % 3];
  std::vector<int> cover(width);
  for (const Picture::Polygon& polygon : picture.polygons) {
    double top = 1e300, bottom = -1e300;
    for (const Point& point : polygon.points) {
      top = std::min(top, point.y);
      bottom = std::max(bottom, point.y);
    }
    const int first = std::max(0, static_cast<int>(std::floor(top))),
              last = std::min(picture.height - 1, static_cast<int>(std::ceil(bottom)));
    for (int row = first; row <= last; ++row) {
      std::fill(cover.begin(), cover.end(), 0);
      cover_row(polygon.points, row, cover);
      for (size_t x = 0; x < width; ++x) {
        if (cover[x] == 0) continue;
        const double part = polygon.opacity * cover[x] / (samples * samples);
        for (size_t k = 0; k < 3; ++k) {
          uint8_t& to = image[(static_cast<size_t>(row) * width + x) * 3 + k];
          to = static_cast<uint8_t>(std::lround(to + part * (polygon.color[k] - to)));
        }
      }
    }
  }
  return image;
}

void write_png(const std::string& path, const Picture& picture) {
  write_file_atomically(path, encode_png({picture.height, picture.width, 3, pixels(picture)}));
}

void write_gif(const std::string& path, const std::vector<Picture>& pictures, int hundredths_between) {
  std::vector<std::vector<uint8_t>> frames;
  for (const Picture& picture : pictures) frames.push_back(pixels(picture));
  const Palette palette(frames);
  const std::vector<GifColorType> colors = palette.map();
  const std::unique_ptr<ColorMapObject, void (*)(ColorMapObject*)> map(GifMakeMapObject(256, colors.data()),
                                                                       GifFreeMapObject);
  const int width = pictures.at(0).width, height = pictures.at(0).height;
  std::string bytes;
  int error = 0;
  GifFileType* file = EGifOpen(&bytes, append, &error);
  const auto need = [&](int good) {
    if (good != GIF_OK) fail(ErrorKind::io, "gif", path, ": ", GifErrorString(file ? file->Error : error));
  };
  need(file ? GIF_OK : GIF_ERROR);
  EGifSetGifVersion(file, true);
  need(EGifPutScreenDesc(file, width, height, 8, 0, map.get()));
  const GifByteType repeat[] = {1, 0, 0};  // the application extension that browsers read: repeat for ever
  need(EGifPutExtensionLeader(file, APPLICATION_EXT_FUNC_CODE));
  need(EGifPutExtensionBlock(file, 11, "NETSCAPE2.0"));
  need(EGifPutExtensionBlock(file, sizeof repeat, repeat));
  need(EGifPutExtensionTrailer(file));
  std::vector<GifPixelType> row(static_cast<size_t>(width));
  for (const auto& frame : frames) {
    const GraphicsControlBlock control{DISPOSE_DO_NOT, false, hundredths_between, NO_TRANSPARENT_COLOR};
    GifByteType packed[4];
    EGifGCBToExtension(&control, packed);
    need(EGifPutExtension(file, GRAPHICS_EXT_FUNC_CODE, sizeof packed, packed));
    need(EGifPutImageDesc(file, 0, 0, width, height, false, nullptr));
    for (size_t y = 0; y < static_cast<size_t>(height); ++y) {
      for (size_t x = 0; x < row.size(); ++x) {
        const uint8_t* at = &frame[(y * row.size() + x) * 3];
        row[x] = palette.index({at[0], at[1], at[2]});
      }
      need(EGifPutLine(file, row.data(), width));
    }
  }
  need(EGifCloseFile(file, &error));
  write_file_atomically(path, bytes);
}

}  // namespace gradus::walker
