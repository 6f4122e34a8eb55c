#include "apps/reproduce/protocols.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "apps/reproduce/report.h"
#include "apps/reproduce/statistics.h"
#include "core/error.h"

namespace gradus::reproduce {

std::string CifarSize::text() const {
  return gradus::text(train, " training images, ", epochs, " epochs of batches of ", batch,
                      batch == paper_batch ? "" : " with momentum's learning rate in proportion",
                      dropout ? "" : ", no dropout");
}

std::string CifarSize::recipe() const {
  const apps::TrainingFlags flags = cifar_run(*this, "fop", 0).flags;
  return gradus::text("Where the paper is silent: weight decay ", apps::exact(*flags.weight_decay), " of weights, ",
                      *flags.decay_mode, "; ", dropout ? "dropout as the network's authors, " : "", "no augmentation.");
}

double CifarSize::rate(double paper_rate) const {
  return paper_rate * (static_cast<double>(batch) / static_cast<double>(paper_batch));
}

Run cifar_run(const CifarSize& size, const std::string& preconditioner, uint64_t seed) {
  Run run;
  run.name = preconditioner + ", seed " + std::to_string(seed);
  run.images = Images::cifar10;
  run.dropout = size.dropout;
  run.train_samples = size.train;
  run.test_samples = size.test;
  const int64_t steps_per_epoch = (size.train + size.batch - 1) / size.batch;
  run.steps = size.epochs * steps_per_epoch;
  run.evaluate_every = steps_per_epoch;
  run.matrices_every = std::max<int64_t>(1, run.steps / 20);
  run.angles_every = run.matrices_every;
  run.flags.preconditioner = preconditioner;
  run.flags.lr = size.rate(0.05);
  run.flags.weight_decay = 1e-3;
  run.flags.decay_mode = "coupled";
  run.flags.batch = size.batch;
  run.flags.lr_drop = std::to_string(size.drop_after);
  run.flags.seed = seed;
  return run;
}

std::string ImagenetSize::text() const {
  return gradus::text(train, " training images of ", image_size, " pixels, ", epochs, " epochs of batches of ", batch,
                      batch == paper_batch ? "" : " with the learning rate in proportion");
}

std::string ImagenetSize::recipe() const {
  const apps::TrainingFlags flags = imagenet_run(*this, "fop", 0).flags;
  return gradus::text("Where the paper is silent: weight decay ", apps::exact(*flags.weight_decay), " of weights, ",
                      *flags.decay_mode, "; random resized crops and flips.");
}

Run imagenet_run(const ImagenetSize& size, const std::string& preconditioner, uint64_t seed) {
  Run run = cifar_run({.train = size.train, .test = size.test, .epochs = size.epochs, .batch = size.batch},
                      preconditioner, seed);
  run.images = Images::imagenet;
  run.image_size = size.image_size;
  run.flags.lr = 0.1 * (static_cast<double>(size.batch) / static_cast<double>(ImagenetSize::paper_batch));
  run.flags.lr_drop = size.drop_after;
  run.flags.weight_decay = 1e-4;
  run.flags.without_matrix = {"fc"};
  return run;
}

std::string MnistSize::text() const { return gradus::text(steps, " steps"); }

std::string MnistSize::recipe() const {
  const Run run = mnist_run(*this, "fop", 0, 0);
  return gradus::text("Where the paper is silent: learning rate ", apps::exact(*run.flags.lr), ", batch ",
                      run.flags.batch, ", ", run.activation == Activation::relu ? "ReLU" : gradus::name(run.activation),
                      ", hypergradients by Adam with ", apps::exact(run.flags.hyper_lr), ".");
}

Run mnist_run(const MnistSize& size, const std::string& preconditioner, int64_t rank, uint64_t seed) {
  Run run;
  run.images = Images::mnist;
  run.hidden = {100, 100, 100};
  run.train_samples = size.train;
  run.test_samples = size.test;
  run.steps = size.steps;
  // The figures show a hundred points.
  run.angles_every = run.evaluate_every = std::max<int64_t>(1, size.steps / 100);
  run.flags.preconditioner = preconditioner;
  run.flags.rank = rank;
  run.flags.lr = 0.001;
  run.flags.hyper_lr = 1e-6;
  run.flags.weight_decay = 0;
  run.flags.decay_mode = "coupled";
  run.flags.batch = 64;
  run.flags.seed = seed;
  run.dense_gain = preconditioner == "none" ? 0 : mnist_gain;
  run.name = preconditioner + (rank > 0 ? ", rank " + std::to_string(rank) : "") + ", seed " + std::to_string(seed);
  return run;
}

std::vector<double> values_of(const Context& context, const std::vector<Run>& runs, const std::string& value,
                              double factor) {
  std::vector<double> values;
  for (const Run& run : runs) values.push_back(factor * context.at(run).at(value));
  return values;
}

int64_t count_diverged(const Context& context, const std::vector<Run>& runs) {
  return std::count_if(runs.begin(), runs.end(), [&](const Run& run) { return !context.at(run).diverged.empty(); });
}

std::string about_diverged(const Context& context, const std::vector<Run>& runs) {
  for (const Run& run : runs) {
    if (context.at(run).diverged.empty()) continue;
    const double percent = 100 * context.at(run).at("final_accuracy");
    return " A training that diverged counts as a guess, " + fixed(percent, percent == std::round(percent) ? 0 : 1) +
           " %.";
  }
  return "";
}

std::string with_diverged(const std::string& verdict, int64_t count) {
  if (count == 0) return verdict;
  return verdict + (verdict.empty() ? "" : ", ") + std::to_string(count) + " diverged";
}

std::vector<apps::Record> band(const Context& context, const std::vector<Run>& runs, const std::string& series,
                               const std::string& column, const apps::Record& labels, double factor) {
  std::vector<apps::Record> rows;
  for (size_t i = 0;; ++i) {
    std::vector<double> values;
    std::optional<double> step;
    for (const Run& run : runs) {
      const auto& all = context.at(run).series;
      const auto found = all.find(series);
      if (found == all.end() || i >= found->second.rows.size()) continue;
      const auto& columns = found->second.columns;
      const auto at = std::find(columns.begin(), columns.end(), column) - columns.begin();
      const double value = found->second.rows[i].at(static_cast<size_t>(at));
      step = found->second.rows[i][0];
      if (!std::isnan(value)) values.push_back(factor * value);
    }
    if (!step) return rows;
    if (values.empty()) continue;
    apps::Record row = labels;
    row.add({{"step", *step},
             {"mean", mean(values)},
             {"lowest", *std::min_element(values.begin(), values.end())},
             {"highest", *std::max_element(values.begin(), values.end())}});
    rows.push_back(row);
  }
}

}  // namespace gradus::reproduce
