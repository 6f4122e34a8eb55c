// Event files: one protocol buffer per record. Field numbers are those of TensorFlow's event.proto and summary.proto.
#include "data/tensorboard.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>
#include <vector>

#include "core/error.h"
#include "core/ops.h"
#include "core/protobuf.h"
#include "data/tfrecord.h"

namespace gradus {
namespace {

using protobuf::Message;

double system_clock() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// TensorFlow's pattern; readers take the files of a folder in the order of their names, so time comes first. The
/// number tells the files of one process apart.
std::string file_name(const std::string& folder, double seconds) {
  static std::atomic<int> number = 0;
  char host[256] = "host";
  ::gethostname(host, sizeof host - 1);
  std::error_code ignored;  // what is in the way, creating the file will say
  std::filesystem::create_directories(folder, ignored);
  std::string time = std::to_string(static_cast<int64_t>(seconds));
  time.insert(0, 10 - std::min<size_t>(time.size(), 10), '0');
  return text(folder, "/events.out.tfevents.", time, ".", host, ".", ::getpid(), ".", number++);
}

void append(FileAppender& file, double seconds, int64_t step, int field, const Message& content) {
  Message event;
  event.float64(1, seconds).integer(2, step).message(field, content);
  file.append(tfrecord(event.bytes()));
}

Message tagged(const std::string& tag) {
  Message value;
  value.bytes(1, tag);
  return value;
}

Message summary(const Message& value) {
  Message content;
  content.message(1, value);
  return content;
}

Message histogram_of(const std::vector<double>& values) {
  constexpr size_t bins = 64;
  double low = std::numeric_limits<double>::infinity(), high = -low, sum = 0, squares = 0, count = 0;
  for (double v : values) {
    if (!std::isfinite(v)) continue;
    low = std::min(low, v);
    high = std::max(high, v);
    sum += v;
    squares += v * v;
    ++count;
  }
  if (count == 0) low = high = 0;
  std::vector<double> limits, counts;
  const size_t used = high > low ? bins : 1;
  for (size_t i = 1; i < used; ++i)
    limits.push_back(low + (high - low) * static_cast<double>(i) / static_cast<double>(used));
  limits.push_back(high);
  counts.resize(used);
  for (double v : values)
    if (std::isfinite(v))
      ++counts[static_cast<size_t>(std::lower_bound(limits.begin(), limits.end(), v) - limits.begin())];
  Message histogram;
  return histogram.float64(1, low)
      .float64(2, high)
      .float64(3, count)
      .float64(4, sum)
      .float64(5, squares)
      .float64s(6, limits)
      .float64s(7, counts);
}

}  // namespace

EventWriter::EventWriter(const std::string& folder, Clock clock)
    : clock_(clock ? std::move(clock) : system_clock), file_(file_name(folder, clock_())) {
  Message first;
  first.float64(1, clock_()).bytes(3, "brain.Event:2");
  file_.append(tfrecord(first.bytes()));
}

void EventWriter::restart(int64_t step) {
  constexpr int64_t start = 1;
  append(file_, clock_(), step, 7, Message().integer(1, start));
}

void EventWriter::scalar(const std::string& tag, double value, int64_t step) {
  append(file_, clock_(), step, 5, summary(tagged(tag).float32(2, static_cast<float>(value))));
}

void EventWriter::histogram(const std::string& tag, const Tensor& values, int64_t step) {
  const Message histogram = histogram_of(cast(values, DType::float64).to_vector<double>());
  append(file_, clock_(), step, 5, summary(tagged(tag).message(5, histogram)));
}

void EventWriter::image(const std::string& tag, const Image& image, int64_t step) {
  Message picture;
  picture.integer(1, image.height).integer(2, image.width).integer(3, image.channels).bytes(4, encode_png(image));
  append(file_, clock_(), step, 5, summary(tagged(tag).message(4, picture)));
}

}  // namespace gradus
