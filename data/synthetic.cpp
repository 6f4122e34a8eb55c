#include "data/synthetic.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "core/error.h"
#include "core/parallel.h"
#include "core/random.h"

namespace gradus {
namespace {

constexpr int side = 32;
constexpr int hint = 50;  // percent of the images whose background has the color that their class prefers
constexpr int one = 256;  // lengths are integers in 1/256 pixel, so that every machine draws the same image

enum Texture { horizontal, vertical, rising, falling, checkers, dots, rings, grid, crosses, clouds, num_textures };

const std::vector<std::string> texture_names = {"horizontal", "vertical", "rising", "falling", "checkers",
                                                "dots",       "rings",    "grid",   "crosses", "clouds"};

class Draws {
 public:
  Draws(uint64_t seed, uint64_t stream) : random_(seed, stream) {}
  /// In [low, high].
  int between(int low, int high) {
    return low + static_cast<int>(random_.below(static_cast<uint64_t>(high - low) + 1));
  }
  /// Roughly uniform in [-amplitude, amplitude], from eight random bits.
  int noise(int amplitude) {
    if (bytes_left_ == 0) {
      bytes_ = random_.next_u32();
      bytes_left_ = 4;
    }
    const int byte = static_cast<int>(bytes_ >> (8 * --bytes_left_) & 255);
    return (byte * (2 * amplitude + 1) >> 8) - amplitude;
  }

 private:
  Generator random_;
  uint32_t bytes_ = 0;
  int bytes_left_ = 0;
};

int modulo(int a, int b) { return (a % b + b) % b; }

/// Which of two colors each pixel has. Coordinates turn by a small random angle and start at a random phase.
class Pattern {
 public:
  Pattern(Texture texture, Draws& draws) : texture_(texture) {
    const bool lattice = texture >= checkers && texture != rings && texture != clouds;
    period_ = draws.between(lattice ? 6 * one : 4 * one, lattice ? 10 * one : 8 * one);
    const double degrees = draws.between(-8, 8) +
                           (texture == vertical ? 90
                            : texture == rising ? 45
                                                : 0) -
                           (texture == falling ? 45 : 0);
    cosine_ = static_cast<int>(std::lround(one * std::cos(degrees * std::numbers::pi / 180)));
    sine_ = static_cast<int>(std::lround(one * std::sin(degrees * std::numbers::pi / 180)));
    phase_u_ = draws.between(0, side * one);
    phase_v_ = draws.between(0, side * one);
    duty_ = draws.between(40, 60);
    for (auto& row : heights_)
      for (int& height : row) height = draws.between(-100, 100);
  }

  bool operator()(int x, int y) const {
    const int u = x * cosine_ - y * sine_ + phase_u_, v = x * sine_ + y * cosine_ + phase_v_;
    const int mu = modulo(u, period_), mv = modulo(v, period_), half = period_ / 2;
    const int du = std::abs(mu - half), dv = std::abs(mv - half);
    switch (texture_) {
      case horizontal:
      case vertical:
      case rising:
      case falling: return mv * 100 < period_ * duty_;
      case checkers: return (mu < half) != (mv < half);
      case dots: return 8 * (du * du + dv * dv) / duty_ < period_ * period_ / 100;
      case rings: return modulo(distance(x, y), period_) * 100 < period_ * duty_;
      case grid: return 5 * std::min(mu, mv) < period_;
      case crosses: return std::min(du, dv) * 9 < period_ && std::max(du, dv) * 3 < period_;
      default: return cloud(x, y) > 0;
    }
  }

 private:
  /// From a center anywhere in the image.
  int distance(int x, int y) const {
    const int dx = x * one - phase_u_, dy = y * one - phase_v_;
    return static_cast<int>(std::sqrt(static_cast<double>(dx) * dx + static_cast<double>(dy) * dy));
  }
  /// Random heights every `spacing` pixels, interpolated bilinearly.
  int cloud(int x, int y) const {
    constexpr int spacing = 8;
    const int i = y / spacing, j = x / spacing, fy = y % spacing, fx = x % spacing;
    return (heights_[i][j] * (spacing - fx) + heights_[i][j + 1] * fx) * (spacing - fy) +
           (heights_[i + 1][j] * (spacing - fx) + heights_[i + 1][j + 1] * fx) * fy;
  }

  Texture texture_;
  int period_, cosine_, sine_, phase_u_, phase_v_, duty_;
  std::array<std::array<int, 8>, 8> heights_;
};

using Color = std::array<int, 3>;

/// The color that a class prefers: a corner or a face of the cube, so that no two are close.
constexpr Color preferred[num_textures] = {{40, 40, 40},    {215, 40, 40},  {40, 215, 40},  {40, 40, 215},
                                           {215, 215, 40},  {215, 40, 215}, {40, 215, 215}, {215, 215, 215},
                                           {128, 128, 128}, {215, 128, 40}};

/// A rectangle of texture, bright ink on dark paper, on a plain background, with noise over everything.
void draw_image(Texture texture, Draws draws, uint8_t* pixels) {
  const bool hinted = draws.between(1, 100) <= hint;
  Color ink, paper, background;
  for (int c = 0; c < 3; ++c) {
    background[c] = hinted ? preferred[texture][c] + draws.between(-40, 40) : draws.between(0, 255);
    paper[c] = background[c] / 3;
    ink[c] = draws.between(180, 255);
  }
  const Pattern pattern(texture, draws);
  const int width = draws.between(26, side), height = draws.between(26, side);
  const int left = draws.between(0, side - width), top = draws.between(0, side - height);
  const int noise = draws.between(2, 12);
  for (int y = 0; y < side; ++y)
    for (int x = 0; x < side; ++x) {
      const bool inside = x >= left && x < left + width && y >= top && y < top + height;
      const Color& color = !inside ? background : pattern(x, y) ? ink : paper;
      for (int c = 0; c < 3; ++c) *pixels++ = static_cast<uint8_t>(std::clamp(color[c] + draws.noise(noise), 0, 255));
    }
}

Dataset draw_split(int64_t count, uint64_t seed, uint64_t split) {
  if (count < 0) fail(ErrorKind::value, "synthetic", "asked for ", count, " images: ask for 0 or more");
  DatasetInfo info{.name = "synthetic", .channels = 3, .height = side, .width = side, .class_names = texture_names};
  constexpr int64_t bytes = 3 * side * side;
  std::vector<uint8_t> pixels(static_cast<size_t>(count * bytes));
  std::vector<int32_t> labels(static_cast<size_t>(count));
  parallel_for(count, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int texture = static_cast<int>(i % num_textures);
      labels[static_cast<size_t>(i)] = texture;
      draw_image(static_cast<Texture>(texture), Draws(seed, split << 40 | static_cast<uint64_t>(i)),
                 pixels.data() + i * bytes);
    }
  });
  return Dataset(std::move(info), std::move(pixels), std::move(labels));
}

}  // namespace

DataSplits make_synthetic(const SyntheticOptions& options) {
  return {.train = draw_split(options.train, options.seed, 1),
          .test = draw_split(options.test, options.seed, 2),
          .notes = {}};
}

}  // namespace gradus
