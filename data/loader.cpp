#include "data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "core/accelerator.h"
#include "core/error.h"
#include "core/ops.h"
#include "data/permutation.h"

namespace gradus {
namespace {

// A stream of random numbers apart from those of other users of the same seed; the epoch is added.
constexpr uint64_t augment_stream = uint64_t{0xda7aa069} << 32;

/// A batch on the host.
struct HostBatch {
  std::vector<float> pixels;  // [n, height, width, channels]
  std::vector<int64_t> labels;
};

class DatasetSource : public ImageSource {
 public:
  DatasetSource(const Dataset& dataset, const LoaderOptions& options)
      : dataset_(dataset), transform_(dataset.info(), options.normalization, options.augment) {}
  const DatasetInfo& info() const override { return dataset_.info(); }
  int64_t size() const override { return dataset_.size(); }
  int64_t label(int64_t index) const override { return dataset_.label(index); }
  bool make(int64_t index, const RandomKey& key, float* out) const override {
    transform_.apply(dataset_.image(index), key, out);
    return true;
  }

 private:
  Dataset dataset_;
  ImageTransform transform_;
};

/// A data set on the device, as bytes, of which one kernel makes a batch.
class ResidentImages {
 public:
  ResidentImages(const Dataset& dataset, const LoaderOptions& options) {
    const DatasetInfo& info = dataset.info();
    const ImageTransform transform(info, options.normalization, options.augment);
    padding_ = transform.padding();
    table_ = Tensor::from(transform.table(), {info.channels, 256});
    const Tensor stored = Tensor::from(dataset.pixels(), {dataset.size(), info.height, info.width, info.channels});
    pixels_ = permute(stored, {0, 3, 1, 2});
  }
  /// The images with these numbers; `key` is the epoch's.
  Tensor make(const Tensor& numbers, const RandomKey& key) const {
    return pick_images(pixels_, numbers, table_, {padding_, key});
  }

 private:
  int64_t padding_ = 0;
  Tensor table_, pixels_;
};

// A data set that is larger than this stays with the host where nobody asks for it.
constexpr size_t most_resident_bytes = size_t{4} << 30;

bool is_resident(const Dataset& dataset, const LoaderOptions& options) {
  if (options.resident.value_or(false) && options.transform)
    fail(ErrorKind::value, "loader",
         "resident images are made on the device, which cannot run a .transform of one's own");
  return options.resident.value_or(device_name() == "cuda" && !options.transform &&
                                   dataset.pixels().size() <= most_resident_bytes);
}

}  // namespace

struct Loader::Plan {
  std::shared_ptr<const ImageSource> source;
  LoaderOptions options;
  std::optional<ResidentImages> resident = {};

  /// Of the images' own numbers in an epoch.
  RandomKey key_of(uint64_t epoch) const { return {options.seed, augment_stream + epoch, 0}; }

  int64_t batches() const { return batches_of(source->size(), options.batch, options.drop_last); }

  /// Image numbers of an epoch, in the order of use.
  std::vector<int64_t> order(uint64_t epoch) const {
    return epoch_order(source->size(), options.shuffle, options.seed, epoch);
  }

  void fill(HostBatch& batch, std::span<const int64_t> images, uint64_t epoch) const {
    const DatasetInfo& info = source->info();
    const auto size = static_cast<size_t>(info.height * info.width * info.channels);
    batch.pixels.resize(images.size() * size);
    batch.labels.clear();
    const RandomCrop epoch_keys{.key = key_of(epoch)};
    for (int64_t image : images) {
      const RandomKey key = epoch_keys.key_of(image);
      const std::span<float> out(batch.pixels.data() + batch.labels.size() * size, size);
      if (!source->make(image, key, out.data())) continue;
      // A Dataset's transforms use the first block of the image's numbers.
      if (options.transform) options.transform(out, {key.seed, key.stream, key.offset + 1});
      batch.labels.push_back(source->label(image));
    }
    batch.pixels.resize(batch.labels.size() * size);
    if (batch.labels.empty())
      fail(ErrorKind::io, "loader", "all ", images.size(), " images of a batch of ", info.name,
           " were left out: remove what is damaged, or use larger batches");
  }

  Batch upload(const HostBatch& batch) const {
    const DatasetInfo& info = source->info();
    const auto count = static_cast<int64_t>(batch.labels.size());
    const Tensor images = Tensor::from(batch.pixels, {count, info.height, info.width, info.channels});
    return {.images = permute(images, {0, 3, 1, 2}), .labels = Tensor::from(batch.labels, {count})};
  }
};

/// A ring of slots: batch k is made in slot k % slots, once the batch that lay there was taken.
class Loader::Epoch::Pass {
 public:
  Pass(std::shared_ptr<const Plan> plan, int64_t epoch, int64_t first_batch)
      : plan_(std::move(plan)),
        epoch_(static_cast<uint64_t>(epoch)),
        order_(plan_->order(epoch_)),
        slots_(static_cast<size_t>(std::max(1, 2 * plan_->options.workers))),
        claimed_(first_batch),
        taken_(first_batch),
        end_(plan_->batches()) {
    if (plan_->resident) {
      std::vector<int64_t> labels;
      for (int64_t image : order_) labels.push_back(plan_->source->label(image));
      numbers_ = Tensor::from(order_, {plan_->source->size()});
      labels_ = Tensor::from(labels, {plan_->source->size()});
      return;
    }
    try {
      for (int i = 0; i < plan_->options.workers; ++i) workers_.emplace_back([this] { work(); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~Pass() { stop(); }
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;

  std::optional<Batch> next() {
    if (taken_ >= end_) return std::nullopt;
    if (plan_->resident) {
      const int64_t begin = taken_++ * plan_->options.batch, end = begin + plan_->options.batch;
      return Batch{.images = plan_->resident->make(slice(numbers_, 0, begin, end), plan_->key_of(epoch_)),
                   .labels = slice(labels_, 0, begin, end)};
    }
    Slot& slot = slot_of(taken_);
    if (workers_.empty()) {
      make(slot, taken_);
    } else {
      std::unique_lock lock(mutex_);
      made_.wait(lock, [&] { return slot.ready; });
    }
    if (slot.error) {
      std::exception_ptr error = std::exchange(slot.error, nullptr);
      stop();
      taken_ = end_;
      std::rethrow_exception(error);
    }
    Batch batch = plan_->upload(slot.batch);
    {
      const std::lock_guard lock(mutex_);
      slot.ready = false;
      ++taken_;
    }
    freed_.notify_one();
    return batch;
  }

  void transform(Batch& batch) const {
    if (!plan_->options.batch_transform) return;
    const Shape expected = batch.images.shape();
    batch.images = plan_->options.batch_transform(batch.images);
    if (batch.images.defined() && batch.images.shape() == expected) return;
    fail(ErrorKind::shape, "loader", "the batch transform made ",
         batch.images.defined() ? text(batch.images.shape()) : "an undefined tensor", " of images ", expected,
         ": it has to keep the shape");
  }

 private:
  struct Slot {
    HostBatch batch;
    std::exception_ptr error;
    bool ready = false;
  };

  Slot& slot_of(int64_t k) { return slots_[static_cast<size_t>(k) % slots_.size()]; }

  void make(Slot& slot, int64_t k) {
    const auto begin = static_cast<size_t>(k * plan_->options.batch);
    const size_t count = std::min(static_cast<size_t>(plan_->options.batch), order_.size() - begin);
    try {
      plan_->fill(slot.batch, std::span(order_).subspan(begin, count), epoch_);
    } catch (...) {
      slot.error = std::current_exception();
    }
  }

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      freed_.wait(lock, [&] {
        return stopped_ || claimed_ >= end_ || claimed_ < taken_ + static_cast<int64_t>(slots_.size());
      });
      if (stopped_ || claimed_ >= end_) break;
      const int64_t k = claimed_++;
      lock.unlock();
      make(slot_of(k), k);
      lock.lock();
      slot_of(k).ready = true;
      made_.notify_one();
    }
    freed_.notify_all();  // the other workers have nothing left to wait for either
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    freed_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
  }

  const std::shared_ptr<const Plan> plan_;
  const uint64_t epoch_;
  const std::vector<int64_t> order_;
  Tensor numbers_, labels_;  // of resident images, in this order
  std::vector<Slot> slots_;
  std::mutex mutex_;  // of all below, and of Slot::ready
  std::condition_variable made_, freed_;
  int64_t claimed_, taken_;
  const int64_t end_;
  bool stopped_ = false;
  std::vector<std::thread> workers_;
};

std::shared_ptr<Loader::Plan> Loader::make_plan(std::shared_ptr<const ImageSource> source,
                                                const LoaderOptions& options) {
  if (options.batch < 1) fail(ErrorKind::value, "loader", "batch ", options.batch, ": it must be at least 1");
  if (options.workers < 0) fail(ErrorKind::value, "loader", "workers ", options.workers, ": it must be 0 or more");
  if (!source) fail(ErrorKind::value, "loader", "expects a source of images, got a null pointer");
  if (source->size() == 0) fail(ErrorKind::value, "loader", "the data set '", source->info().name, "' has no images");
  return std::make_shared<Plan>(Plan{std::move(source), options});
}

Loader::Loader(const Dataset& dataset, const LoaderOptions& options) {
  const auto plan = make_plan(std::make_shared<const DatasetSource>(dataset, options), options);
  if (is_resident(dataset, options)) plan->resident.emplace(dataset, options);
  plan_ = plan;
}

Loader::Loader(std::shared_ptr<const ImageSource> source, const LoaderOptions& options) {
  if (options.resident.value_or(false))
    fail(ErrorKind::value, "loader", "only a Dataset can be .resident: images of a source are made on the host");
  plan_ = make_plan(std::move(source), options);
}

int64_t Loader::batches() const { return plan_->batches(); }
const ImageSource& Loader::source() const { return *plan_->source; }
const LoaderOptions& Loader::options() const { return plan_->options; }

Loader::Epoch Loader::epoch(int64_t epoch, int64_t first_batch) const {
  if (epoch < 0 || first_batch < 0 || first_batch > batches())
    fail(ErrorKind::value, "loader", "epoch ", epoch, ", batch ", first_batch,
         " was asked for: epochs begin at 0, and each has batches 0 to ", batches());
  return Epoch(std::make_unique<Epoch::Pass>(plan_, epoch, first_batch));
}

Loader::Epoch::Epoch(std::unique_ptr<Pass> pass) : pass_(std::move(pass)) {}
Loader::Epoch::Epoch(Epoch&&) noexcept = default;
Loader::Epoch& Loader::Epoch::operator=(Epoch&&) noexcept = default;
Loader::Epoch::~Epoch() = default;
std::optional<Batch> Loader::Epoch::next() {
  if (!pass_) fail(ErrorKind::value, "loader", "this epoch was moved from: ask the variable that it was moved to");
  std::optional<Batch> batch = pass_->next();
  if (batch) pass_->transform(*batch);
  return batch;
}

}  // namespace gradus
