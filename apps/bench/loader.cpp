// Images per second of the loader: standardised, and augmented on request, from a data set in memory.
#include <memory>

#include "apps/bench/benchmarks.h"
#include "apps/bench/measure.h"
#include "apps/common/command_line.h"
#include "data/loader.h"
#include "data/synthetic.h"

namespace gradus::apps::bench {
namespace {

struct Flags : MeasureFlags {
  std::string augment = "standard";
  int64_t batch = 128, workers = 1, images = 10000;
};

void run(const Flags& flags) {
  const DataSplits data = make_synthetic({.train = flags.images, .test = 10});
  const Loader loader(data.train, {.batch = flags.batch,
                                   .augment = flags.augment == "standard" ? Augment::standard : Augment::none,
                                   .workers = static_cast<int>(flags.workers),
                                   .normalization = channel_statistics(data.train)});
  int64_t epoch = 0;
  const auto pass = [&] {
    for (const Batch& batch : loader.epoch(epoch)) (void)batch;
    ++epoch;
  };
  Record record = measure({.rate_name = "images_per_s",
                           .per_step = static_cast<double>(flags.batch),
                           .round = [&] { return static_cast<double>(data.train.size()) / seconds_of(pass); }},
                          flags);
  record.add({{"batch", flags.batch}, {"workers", flags.workers}, {"augment", flags.augment}});
  report("loader of 32x32 images", record, flags);
}

}  // namespace

std::function<void()> add_loader(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("--batch", flags->batch, "images per batch")->check(at_least(1));
  app.add_option("--workers", flags->workers, "threads that make batches; 0: the caller")->check(at_least(0));
  app.add_option("--images", flags->images, "images in the data set")->check(at_least(10));
  app.add_option("--augment", flags->augment, "none or standard")->check(CLI::IsMember({"none", "standard"}));
  flags->add_to(app);
  return [flags] { run(*flags); };
}

}  // namespace gradus::apps::bench
