#include "data/photo_source.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>
#include <set>
#include <utility>

#include "core/error.h"
#include "data/color.h"

namespace gradus {
namespace {

// Apart from the numbers that a user's transform of the same image draws.
constexpr uint64_t photo_stream = uint64_t{0x9070} << 48;

/// What the crop of one image is drawn from; as torchvision's RandomResizedCrop.get_params().
Crop random_crop(Generator& random, double least_area, int64_t height, int64_t width) {
  const auto h = static_cast<double>(height), w = static_cast<double>(width);
  constexpr double narrowest = 3.0 / 4, widest = 4.0 / 3;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double area = h * w * (least_area + (1 - least_area) * random.uniform());
    const double ratio = narrowest * std::pow(widest / narrowest, random.uniform());
    const int64_t across = std::llround(std::sqrt(area * ratio)), down = std::llround(std::sqrt(area / ratio));
    if (across < 1 || down < 1 || across > width || down > height) continue;
    const auto top = static_cast<double>(random.below(static_cast<uint64_t>(height - down + 1)));
    const auto left = static_cast<double>(random.below(static_cast<uint64_t>(width - across + 1)));
    return {.box = {top, left, static_cast<double>(down), static_cast<double>(across)}};
  }
  // A picture so long that no crop fits: its middle, as long as is allowed.
  const double down = std::min(h, std::round(w / narrowest)), across = std::min(w, std::round(h * widest));
  return {.box = {std::floor((h - down) / 2), std::floor((w - across) / 2), down, across}};
}

/// The middle of the picture, as if its shorter side were first resized to size / shown; as torchvision's Resize and
/// CenterCrop, in one step.
Crop middle_crop(int64_t size, double shown, int64_t height, int64_t width) {
  const int64_t shorter = std::min(height, width);
  const int64_t resized = std::max<int64_t>(size, std::lround(static_cast<double>(size) / shown));
  const auto axis = [&](int64_t extent, double& begin, double& length) {
    const int64_t to = extent == shorter ? resized : std::max(size, resized * extent / shorter);
    const double scale = static_cast<double>(extent) / static_cast<double>(to);
    begin = static_cast<double>(std::lrint(static_cast<double>(to - size) / 2)) * scale;
    length = static_cast<double>(size) * scale;
    return scale;
  };
  Crop crop;
  const double down = axis(height, crop.box.top, crop.box.height);
  const double across = axis(width, crop.box.left, crop.box.width);
  crop.margin = std::max({down, across, 1.0}) + 1;
  return crop;
}

// Four pixels of three channels: as many floats as fill whole vectors.
constexpr size_t period = 12;
using Period = std::array<float, period>;

void standardize(float* rgb, int64_t pixels, const Period& scale, const Period& shift) {
  const int64_t count = 3 * pixels, whole = count - count % static_cast<int64_t>(period);
  for (int64_t i = 0; i < whole; i += static_cast<int64_t>(period))
    for (size_t k = 0; k < period; ++k)
      rgb[i + static_cast<int64_t>(k)] = rgb[i + static_cast<int64_t>(k)] * scale[k] + shift[k];
  for (int64_t i = whole; i < count; ++i) {
    const auto k = static_cast<size_t>(i - whole);
    rgb[i] = rgb[i] * scale[k] + shift[k];
  }
}

void check(const PhotoOptions& o) {
  const auto share = [](double value) { return value > 0 && value <= 1; };
  if (o.size < 1) fail(ErrorKind::value, "photos", "size ", o.size, ": it must be at least 1");
  if (!share(o.least_area) || !share(o.shown))
    fail(ErrorKind::value, "photos", "least_area ", o.least_area, " and shown ", o.shown, ": they must lie in (0, 1]");
  const ColorJitter& j = o.jitter;
  if (!(j.brightness >= 0 && j.contrast >= 0 && j.saturation >= 0 && j.hue >= 0 && j.hue <= 0.5))
    fail(ErrorKind::value, "photos", "color jitter of ", j.brightness, ", ", j.contrast, ", ", j.saturation, ", ",
         j.hue, ": none may be negative, and the hue's at most 0.5");
}

}  // namespace

Normalization imagenet_normalization() { return {.mean = {0.485, 0.456, 0.406}, .std = {0.229, 0.224, 0.225}}; }

struct PhotoSource::Impl {
  PhotoSet photos;
  PhotoOptions options;
  DatasetInfo info;
  Period scale, shift;  ///< of values from 0 to 255
  mutable std::mutex mutex;
  mutable std::set<int64_t> reported;

  void report(int64_t index, const std::string& message) const {
    const std::lock_guard lock(mutex);
    if (reported.insert(index).second) options.on_damaged(message);
  }
};

PhotoSource::PhotoSource(PhotoSet photos, const PhotoOptions& options) {
  check(options);
  auto impl = std::make_unique<Impl>();
  impl->info = {.name = photos.name(),
                .channels = 3,
                .height = options.size,
                .width = options.size,
                .class_names = photos.class_names()};
  const ImageTransform checked(impl->info, options.normalization, Augment::none);
  for (size_t c = 0; c < 3; ++c) {
    const double mean = options.normalization.mean.empty() ? 0 : options.normalization.mean[c];
    const double std = options.normalization.std.empty() ? 1 : options.normalization.std[c];
    for (size_t i = c; i < period; i += 3) {
      impl->scale[i] = static_cast<float>(1 / std / 255);
      impl->shift[i] = static_cast<float>(-mean / std);
    }
  }
  impl->photos = std::move(photos);
  impl->options = options;
  impl_ = std::move(impl);
}

PhotoSource::~PhotoSource() = default;
const DatasetInfo& PhotoSource::info() const { return impl_->info; }
int64_t PhotoSource::size() const { return impl_->photos.size(); }
int64_t PhotoSource::label(int64_t index) const { return impl_->photos.label(index); }
const PhotoSet& PhotoSource::photos() const { return impl_->photos; }

bool PhotoSource::make(int64_t index, const RandomKey& key, float* out) const {
  const PhotoOptions& options = impl_->options;
  Generator random(key.seed ^ key.offset, key.stream ^ photo_stream);  // the offset is the image's alone
  const ChooseCrop choose = [&](int64_t height, int64_t width) {
    return options.augment ? random_crop(random, options.least_area, height, width)
                           : middle_crop(options.size, options.shown, height, width);
  };
  const int64_t pixels = options.size * options.size;
  try {
    const PicturePart part = impl_->photos.part(index, choose, options.size, options.size);
    const bool mirror = options.augment && random.below(2) == 1;
    resample(part.view(), part.region.box, options.size, options.size, mirror, out);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::io || !options.on_damaged) throw;
    impl_->report(index, error.what());
    return false;
  }
  if (options.augment) jitter_colors(out, pixels, options.jitter, random);
  standardize(out, pixels, impl_->scale, impl_->shift);
  return true;
}

}  // namespace gradus
