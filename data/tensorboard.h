// Event files for TensorBoard: scalars, histograms and pictures over the steps of a training.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/file.h"
#include "core/tensor.h"
#include "data/image.h"

namespace gradus {

/// Writes FOLDER/events.out.tfevents.SECONDS.HOST.PROCESS.NUMBER. `tensorboard --logdir FOLDER` shows every such file
/// of the folder as one run, and what a call wrote as soon as it returns. The time of day stands in the file and its
/// name. Errors are ErrorKind::io and name the file.
class EventWriter {
 public:
  /// Seconds since 1970; the system's where none is given.
  using Clock = std::function<double()>;
  /// Creates the folder where it is missing.
  explicit EventWriter(const std::string& folder, Clock clock = {});

  const std::string& path() const { return file_.path(); }

  /// For a run that goes on in a new file: readers forget what older files say of `step` and later steps.
  void restart(int64_t step);
  void scalar(const std::string& tag, double value, int64_t step);
  /// Of all elements, in 64 equal bins between the least and the greatest. Elements that are not finite are left out.
  void histogram(const std::string& tag, const Tensor& values, int64_t step);
  void image(const std::string& tag, const Image& image, int64_t step);

 private:
  Clock clock_;
  FileAppender file_;
};

}  // namespace gradus
