// Images per second of the loader: 32x32 images from memory, standardized and augmented on request, or photographs from
// files, decoded, cropped, resized, mirrored and standardized.
#include <algorithm>
#include <memory>

#include "apps/bench/benchmarks.h"
#include "apps/bench/measure.h"
#include "apps/common/command_line.h"
#include "data/photo_source.h"
#include "data/synthetic.h"

namespace gradus::apps::bench {
namespace {

struct LoaderFlags : MeasureFlags {
  std::string augment = "standard", photos;
  int64_t batch = 128, workers = 1, images = 10000, size = 224, passes = 5;
  bool resident = false;
};

void note_without_effect(const LoaderFlags& flags, const CommandLine& line) {
  const bool photos = !flags.photos.empty();
  for (const char* flag : {"--size", "--passes"})
    if (!photos && line.given(flag)) note(std::string(flag) + " has no effect without --photos");
  if (photos && line.given("--images")) note("--images has no effect with --photos");
}

void bench_loader(const LoaderFlags& flags) {
  use_threads(flags.threads);
  const bool augment = flags.augment == "standard";
  LoaderOptions options{.batch = flags.batch,
                        .augment = augment ? Augment::standard : Augment::none,
                        .workers = static_cast<int>(flags.workers),
                        .resident = flags.resident};
  const auto loader = [&] {
    if (!flags.photos.empty()) {
      const PhotoSet photos = read_photo_folder(flags.photos).train;
      return Loader(std::make_shared<PhotoSource>(photos, PhotoOptions{.size = flags.size, .augment = augment}),
                    options);
    }
    const DataSplits data = make_synthetic({.train = flags.images, .test = 10});
    options.normalization = channel_statistics(data.train);
    return Loader(data.train, options);
  }();
  const int64_t passes = flags.photos.empty() ? 1 : flags.passes;
  int64_t epoch = 0, seen = 0;
  const auto pass = [&] {
    for (int64_t i = 0; i < passes; ++i, ++epoch)
      for (const Batch& batch : loader.epoch(epoch)) seen += batch.labels.size(0);
  };
  pass();  // starts the workers and touches memory
  Record record = measure({.rate_name = "images_per_s",
                           .per_step = static_cast<double>(std::min(flags.batch, loader.source().size())),
                           .round =
                               [&] {
                                 seen = 0;
                                 const double seconds = seconds_of(pass);
                                 return static_cast<double>(seen) / seconds;
                               }},
                          flags);
  record.add(
      {{"batch", flags.batch}, {"workers", flags.workers}, {"augment", flags.augment}, {"resident", flags.resident}});
  const std::string side = std::to_string(loader.source().info().height);
  report((flags.photos.empty() ? "loader of " : "loader of photographs as ") + side + "x" + side + " images", record,
         flags);
}

}  // namespace

std::function<void()> add_loader(CommandLine& line) {
  auto flags = std::make_shared<LoaderFlags>();
  line.add("--batch", flags->batch, "images per batch", at_least(1));
  line.add("--workers", flags->workers, "threads that make batches; 0: the caller", thread_count());
  line.add("--images", flags->images, "images in the data set", at_least(10));
  line.add("--photos", flags->photos, "a folder or archive of photographs, instead of 32x32 images");
  line.add("--size", flags->size, "side that photographs are resized to", side(1));
  line.add("--passes", flags->passes, "epochs of photographs per round", at_least(1));
  line.add("--resident", flags->resident, "keep the images on the device as bytes and make batches there");
  line.add("--augment", flags->augment, "none or standard", one_of({"none", "standard"}));
  flags->add_to(line);
  return [flags, &line] {
    note_without_effect(*flags, line);
    bench_loader(*flags);
  };
}

}  // namespace gradus::apps::bench
