// Batches of a data set: shuffled, standardized and augmented, made ahead of time by worker threads.
#pragma once

#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <span>

#include "core/tensor.h"
#include "data/dataset.h"
#include "data/transforms.h"

namespace gradus {

struct Batch {
  Tensor images;  ///< float32 [n, channels, height, width], channels-last in memory
  Tensor labels;  ///< int64 [n]
};

/// Numbered, labeled images that are made when a batch needs them: a Dataset's, photographs, or a user's own.
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  /// The size of every image that make() writes, and the classes.
  virtual const DatasetInfo& info() const = 0;
  /// Number of images.
  virtual int64_t size() const = 0;
  virtual int64_t label(int64_t index) const = 0;
  /// Writes an image, [height, width, channels]; false where it is to be left out of its batch. Called on any thread,
  /// so it may depend on its arguments only; the key is the image's own in its epoch.
  virtual bool make(int64_t index, const RandomKey& key, float* out) const = 0;
};

/// Changes a standardized image, [height, width, channels], in place. Called on any thread, so it may depend on its
/// arguments only; the key is the image's own in its epoch.
using UserTransform = std::function<void(std::span<float> image, const RandomKey& key)>;
/// What becomes of a whole batch, float32 [n, channels, height, width], on the device: a tensor of the same shape.
using BatchTransform = std::function<Tensor(const Tensor& images)>;

struct LoaderOptions {
  int64_t batch = 128;
  uint64_t seed = 0;
  bool shuffle = true;                  ///< a new order in every epoch
  Augment augment = Augment::none;      ///< of a Dataset's images; a source of its own does what it does
  int workers = 0;                      ///< threads that make batches; 0: the caller makes each when it asks for it
  bool drop_last = false;               ///< leave out a last batch that is not full
  Normalization normalization = {};     ///< of a Dataset's images, too
  UserTransform transform = {};         ///< of each image, after all others
  BatchTransform batch_transform = {};  ///< of each batch, after those: a Whitening, or a user's own
  /// Keep a Dataset's images on the device as bytes and make each batch there, by one kernel; the bits are the same.
  /// Not given: where the device is a GPU, unless there is a transform or they take more than 4 GiB.
  std::optional<bool> resident = {};
};

/// Batch k of epoch e is a pure function of (data, options, e, k), whatever the number of workers. It has options.batch
/// images, fewer at the end and where images are left out.
class Loader {
 public:
  class Epoch;

  /// Throws ErrorKind::value for a batch below 1, a negative number of workers, a source that is null or an empty data
  /// set, a normalization that does not fit, or images that cannot be resident.
  Loader(const Dataset& dataset, const LoaderOptions& options);
  Loader(std::shared_ptr<const ImageSource> source, const LoaderOptions& options);

  // Copies share what is loaded; without moves there is no loader that was moved from.
  Loader(const Loader&) = default;
  Loader& operator=(const Loader&) = default;

  /// Number of batches in an epoch.
  int64_t batches() const;
  /// Images, their size and their classes.
  const ImageSource& source() const;
  const LoaderOptions& options() const;

  /// The batches of an epoch from `first_batch` on: `for (const auto& [images, labels] : loader.epoch(e))`. Throws
  /// ErrorKind::value where an argument is negative or first_batch is above batches().
  Epoch epoch(int64_t epoch, int64_t first_batch = 0) const;

 private:
  struct Plan;
  static std::shared_ptr<Plan> make_plan(std::shared_ptr<const ImageSource> source, const LoaderOptions& options);
  std::shared_ptr<const Plan> plan_;
};

/// One pass, in order, once. Workers run as long as it lives, and prepare at most two batches each ahead of the caller.
class Loader::Epoch {
 public:
  class Iterator;

  Epoch(Epoch&&) noexcept;
  Epoch& operator=(Epoch&&) noexcept;
  ~Epoch();

  /// The next batch; nothing at the end. Rethrows what making it threw, and ends then. Throws ErrorKind::io where every
  /// image of a batch was left out, ErrorKind::shape where a batch transform changed the shape, ErrorKind::value where
  /// the epoch was moved to another variable.
  std::optional<Batch> next();

  Iterator begin();
  std::default_sentinel_t end() const { return std::default_sentinel; }

 private:
  friend class Loader;
  class Pass;
  explicit Epoch(std::unique_ptr<Pass> pass);
  std::unique_ptr<Pass> pass_;
};

class Loader::Epoch::Iterator {
 public:
  using value_type = Batch;
  using difference_type = std::ptrdiff_t;

  explicit Iterator(Epoch& epoch) : epoch_(&epoch), batch_(epoch.next()) {}
  const Batch& operator*() const { return *batch_; }
  const Batch* operator->() const { return &*batch_; }
  Iterator& operator++() {
    batch_.reset();  // its memory serves the next one
    batch_ = epoch_->next();
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(const Iterator& it, std::default_sentinel_t) { return !it.batch_; }

 private:
  Epoch* epoch_;
  std::optional<Batch> batch_;
};

inline Loader::Epoch::Iterator Loader::Epoch::begin() { return Iterator(*this); }

}  // namespace gradus
