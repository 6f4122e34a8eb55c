// Figure 2 of the paper, bottom: test accuracy, additional parameters and additional time of five methods with
// ResNet-18 on ImageNet.
#include <algorithm>

#include "apps/reproduce/comparison.h"
#include "apps/reproduce/experiment.h"
#include "apps/reproduce/protocols.h"

namespace gradus::reproduce::table_imagenet {
namespace {

const Method methods[] = {{"momentum", "none", 69.7, 0.2, "0", 0.0},
                          {"S-HD", "s-hd", 69.7, 0.3, "22", 0.3},
                          {"PP-HD", "pp-hd", 69.8, 0.2, "275M", 7.1},
                          {"FOP-norm", "fop-norm", 69.9, 0.3, "197", 2.1},
                          {"FOP", "fop", 70.1, 0.2, "197", 1.7}};

ImagenetSize size(const Context& context) {
  const ImageData& data = context.images(Images::imagenet);
  ImagenetSize size = context.by_scale<ImagenetSize>(
      {.train = 32, .test = 20, .epochs = 2, .batch = 16, .image_size = 32, .drop_after = "1"},
      {.train = 3000, .test = 1000, .epochs = 6, .batch = 32, .image_size = 64, .drop_after = "3,5"}, {});
  size.train = size.train > 0 ? std::min(size.train, data.train_images) : data.train_images;
  size.test = size.test > 0 ? std::min(size.test, data.test_images) : data.test_images;
  return size;
}

std::vector<uint64_t> seeds(const Context& context) { return context.seeds(1, 3, 3); }

std::vector<Run> runs_of(const Context& context, const Method& method) {
  std::vector<Run> runs;
  for (uint64_t seed : seeds(context)) runs.push_back(imagenet_run(size(context), method.preconditioner, seed));
  return runs;
}

std::vector<Run> runs(const Context& context) {
  std::vector<Run> runs;
  for (const Method& method : methods)
    for (const Run& run : runs_of(context, method)) runs.push_back(run);
  order_by_seed(runs);
  return runs;
}

void read(const Context& context, Report& report) {
  report.protocol(size(context).text() + ", " + std::to_string(seeds(context).size()) + " seeds");
  report_comparison(context,
                    {.methods = methods,
                     .runs_of = [&](const Method& method) { return runs_of(context, method); },
                     .published_gap = 0.4,
                     .recipe = size(context).recipe()},
                    report);
  report.note(
      "The network has a projection in each of its four stages: the paper's counts, 22 and 197, say so. The 275M of "
      "PP-HD has no derivation; the network has 11.7M weights.");
}

}  // namespace

constexpr Experiment experiment{.name = "table_imagenet",
                                .title = "Figure 2, bottom: ResNet-18 on ImageNet, five methods",
                                .images = Images::imagenet,
                                .runs = runs,
                                .read = read};

}  // namespace gradus::reproduce::table_imagenet
