#include "apps/common/tensorboard.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/error.h"

namespace gradus::apps {
namespace {

constexpr int64_t most_pictures = 4;

void remove_event_files(const std::string& folder) {
  for (const std::string& file : event_files_in(folder)) {
    std::error_code error;
    std::filesystem::remove(file, error);
    if (error) fail(ErrorKind::io, "tensorboard", "cannot remove ", file, ": ", error.message());
  }
}

/// The bytes that the loader standardized, clipped to what a byte holds.
Image picture(const Tensor& image, const Normalization& normalization) {
  const int64_t channels = image.size(0);
  Image out{.height = image.size(1), .width = image.size(2), .channels = channels, .pixels = {}};
  const std::vector<float> values = permute(image, {1, 2, 0}).to_vector<float>();
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t c = i % static_cast<size_t>(channels);
    const double mean = normalization.mean.empty() ? 0 : normalization.mean[c];
    const double std = normalization.std.empty() ? 1 : normalization.std[c];
    out.pixels.push_back(static_cast<uint8_t>(std::clamp(std::round(255 * (values[i] * std + mean)), 0.0, 255.0)));
  }
  return out;
}

}  // namespace

std::vector<std::string> event_files_in(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored))
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) files.push_back(entry.path().string());
  return files;
}

void TensorBoard::begin(int64_t step) {
  const bool first = !events_;
  if (first) {
    if (step == 0) remove_event_files(folder_);
    events_.emplace(folder_);
  }
  if (step > 0 || !first) events_->restart(step + 1);
  if (step == 0) show_batch();
}

void TensorBoard::show_batch() {
  if (train_.options().batch_transform) return;  // what it makes are no pictures
  Loader::Epoch epoch = train_.epoch(0);
  const std::optional<Batch> batch = epoch.next();
  for (int64_t i = 0; batch && i < std::min(most_pictures, batch->images.size(0)); ++i)
    events_->image("first batch/" + std::to_string(i),
                   picture(select(batch->images, 0, i), train_.options().normalization), 0);
}

void TensorBoard::epoch(const Record& metrics) {
  const auto step = static_cast<int64_t>(metrics.number("step"));
  std::optional<Error> lost;  // the writer keeps what did not fit, and is told the rest too
  const auto attempt = [&](const auto& write) {
    try {
      write();
    } catch (const Error& error) {
      lost = error;
    }
  };
  for (const Record::Field& field : metrics.fields())
    if (field.first != "step") attempt([&] { events_->scalar(field.first, metrics.number(field.first), step); });
  for (const Parameter& parameter : model_.parameters())
    attempt([&] { events_->histogram(parameter.name(), parameter.value(), step); });
  if (lost) throw *lost;
}

}  // namespace gradus::apps
