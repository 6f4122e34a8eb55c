#include "data/transforms.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/ranges.h"

namespace gradus {
namespace {

constexpr int64_t standard_padding = 4;

}  // namespace

Normalization channel_statistics(const Dataset& dataset) {
  const auto channels = static_cast<size_t>(dataset.info().channels);
  const auto pixels = dataset.pixels();
  // Per channel. A sum of squares stays below 2^64 up to 2^48 pixels; the inner sums, over at most 4096 of them, below
  // 2^32.
  std::vector<uint64_t> sum(channels), squares(channels);
  for (size_t begin = 0; begin < pixels.size(); begin += 4096 * channels) {
    const size_t end = std::min(pixels.size(), begin + 4096 * channels);
    for (size_t c = 0; c < channels; ++c) {
      uint32_t partial = 0, partial_squares = 0;
      for (size_t i = begin + c; i < end; i += channels) {
        const uint32_t value = pixels[i];
        partial += value;
        partial_squares += value * value;
      }
      sum[c] += partial;
      squares[c] += partial_squares;
    }
  }
  Normalization result;
  const double count = static_cast<double>(pixels.size()) / static_cast<double>(std::max<size_t>(channels, 1));
  for (size_t c = 0; c < channels; ++c) {
    const double mean = count > 0 ? static_cast<double>(sum[c]) / count : 0;
    const double variance = count > 0 ? static_cast<double>(squares[c]) / count - mean * mean : 0;
    // The least variance that is not zero is that of one odd pixel; below it lies only the rounding of the difference.
    const bool constant = variance * count < 0.5;
    result.mean.push_back(mean / 255);
    result.std.push_back(constant ? 1 : std::sqrt(variance) / 255);
  }
  return result;
}

ImageTransform::ImageTransform(const DatasetInfo& info, const Normalization& normalization, Augment augment)
    : height_(info.height),
      width_(info.width),
      channels_(info.channels),
      padding_(augment == Augment::standard ? standard_padding : 0) {
  const auto channels = static_cast<size_t>(channels_);
  for (const std::vector<double>* values : {&normalization.mean, &normalization.std})
    if (!values->empty() && values->size() != channels)
      fail(ErrorKind::value, "loader", info.name, " has ", channels, " channels, but the normalization is for ",
           values->size(), ": take channel_statistics() of this data set's train split");
  for (size_t c = 0; c < channels; ++c) {
    const double mean = normalization.mean.empty() ? 0 : normalization.mean[c];
    const double std = normalization.std.empty() ? 1 : normalization.std[c];
    if (!std::isfinite(mean)) fail(ErrorKind::value, "loader", "mean ", mean, " of channel ", c, ": it must be finite");
    if (!is_positive(std))
      fail(ErrorKind::value, "loader", "standard deviation ", std, " of channel ", c,
           ": it must be positive and finite");
    for (int byte = 0; byte < 256; ++byte) table_.push_back(static_cast<float>((byte / 255.0 - mean) / std));
  }
}

void ImageTransform::apply(std::span<const uint8_t> image, const RandomKey& key, float* out) const {
  const Placement placement = draw_placement(key, padding_);
  const auto black = [&](int64_t pixels) {
    for (int64_t i = 0; i < pixels; ++i)
      for (int64_t c = 0; c < channels_; ++c) *out++ = table_[static_cast<size_t>(256 * c)];
  };
  // Target column x shows source column x + shift, or its mirror image: x from `begin` to `end` lies within the source.
  const int64_t shift = placement.flip ? padding_ - placement.left : placement.left - padding_;
  const int64_t begin = std::clamp<int64_t>(-shift, 0, width_), end = std::clamp(width_ - shift, begin, width_);
  for (int64_t y = 0; y < height_; ++y) {
    const int64_t row = y + placement.top - padding_;
    if (row < 0 || row >= height_) {
      black(width_);
      continue;
    }
    black(begin);
    const int64_t first = placement.flip ? width_ - 1 - (begin + shift) : begin + shift;
    const int64_t step = placement.flip ? -channels_ : channels_;
    const uint8_t* from = image.data() + (row * width_ + first) * channels_;
    for (int64_t x = begin; x < end; ++x, from += step)
      for (int64_t c = 0; c < channels_; ++c) *out++ = table_[static_cast<size_t>(256 * c + from[c])];
    black(width_ - end);
  }
}

}  // namespace gradus
