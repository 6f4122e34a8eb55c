// Training curves of the HesScale paper (Elsayed et al. 2024): the MNIST perceptron 784-1000-500-100-10 of DeepOBS with
// six optimizers, each at the best of a grid of learning rates, beside the accuracies and losses that the authors'
// program stored.
#include <algorithm>
#include <cmath>
#include <optional>

#include "apps/reproduce/choices.h"
#include "apps/reproduce/experiment.h"
#include "apps/reproduce/protocols.h"
#include "apps/reproduce/statistics.h"
#include "core/error.h"

namespace gradus::reproduce::hesscale_training {
namespace {

struct Method {
  const char* rule;
  const char* title;
  double accuracy, loss;  ///< published: of tests, in percent, and of training, after 100 epochs
  std::vector<double> lrs;
};
// Nine each: the authors' grid, whose decades are halved, and where the best lies elsewhere one that reaches beyond it.
const std::vector<double> authors_lrs{1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1};
const Method methods[] = {
    {"sgd", "SGD", 98.02, 0.0152, {1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 6e-1, 1, 3}},
    {"adam", "Adam", 98.11, 0.0147, authors_lrs},
    {"adahesscale-bl89", "BL89", 95.14, 0.1069, authors_lrs},
    {"adahessian", "AdaHessian", 98.24, 0.0148, authors_lrs},
    {"adahesscale-gn", "AdaHesScaleGN", 98.17, 0.0193, {1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2}},
    {"adahesscale", "AdaHesScale", 98.18, 0.0140, authors_lrs}};
constexpr uint64_t first_tuning_seed = 1000;  ///< from here on, of no training that is reported

struct Size {
  int64_t train = 60000, test = 10000, epochs = 100;
};
Size size(const Context& context) {
  return context.by_scale<Size>({.train = 600, .test = 200, .epochs = 1}, {.train = 6000, .epochs = 8}, {});
}

constexpr int64_t batch = 128;
int64_t steps_per_epoch(int64_t images) { return (images + batch - 1) / batch; }

Run run_of(const Context& context, const Method& method, double lr, uint64_t seed) {
  const Size sized = size(context);
  Run run;
  run.name = std::string(method.title) + ", learning rate " + scientific(lr) + ", seed " + std::to_string(seed);
  run.images = Images::mnist;
  run.hidden = {1000, 500, 100};
  run.activation = Activation::tanh;
  run.init_std = 0.03;
  run.train_samples = sized.train;
  run.test_samples = sized.test;
  const int64_t per_epoch = steps_per_epoch(sized.train);
  run.steps = sized.epochs * per_epoch;
  run.evaluate_every = per_epoch;
  run.flags.rule = method.rule;
  run.flags.preconditioner = "none";
  run.flags.lr = lr;
  run.flags.weight_decay = 0;
  run.flags.decay_mode = "coupled";
  run.flags.batch = batch;
  run.flags.seed = seed;
  return run;
}

std::vector<double> rates(const Context& context, const Method& method) {
  if (context.scale() == Scale::smoke) return {method.lrs[method.lrs.size() / 2]};
  return method.lrs;
}

/// To choose by, a sixth of the training images held out.
std::vector<Run> candidates(const Context& context, const Method& method, double lr) {
  std::vector<Run> runs;
  for (uint64_t i = 0; i < context.by_scale<uint64_t>(1, 3, 3); ++i) {
    Run run = run_of(context, method, lr, first_tuning_seed + i);
    run.name += ", tuning";
    run.test_samples = run.train_samples / 6;
    run.train_samples -= run.test_samples;
    run.held_out = true;
    run.evaluate_every = steps_per_epoch(run.train_samples);
    run.steps = size(context).epochs * run.evaluate_every;
    runs.push_back(run);
  }
  return runs;
}

/// The authors tune by the area under the curve of validation accuracy: its mean.
double area(const Outcome& outcome) {
  const auto found = outcome.series.find("accuracy");
  if (found == outcome.series.end() || found->second.rows.empty() || !outcome.diverged.empty()) return 0;
  double sum = 0;
  for (const auto& row : found->second.rows) sum += row.back();
  return sum / static_cast<double>(found->second.rows.size());
}

/// The mean over the candidates; nothing until all are finished.
std::optional<double> area(const Context& context, const Method& method, double lr) {
  std::vector<double> areas;
  for (const Run& run : candidates(context, method, lr)) {
    const Outcome* outcome = context.find(run);
    if (!outcome) return std::nullopt;
    areas.push_back(area(*outcome));
  }
  return mean(areas);
}

std::optional<double> best_rate(const Context& context, const Method& method) {
  double best = -1, best_lr = 0;
  for (double lr : rates(context, method)) {
    const std::optional<double> here = area(context, method, lr);
    if (!here) return std::nullopt;
    if (*here > best) best = *here, best_lr = lr;
  }
  return best_lr;
}

/// With the best learning rate one training per seed, of all training images.
std::vector<Run> tuned(const Context& context, const Method& method) {
  std::vector<Run> runs;
  if (const std::optional<double> lr = best_rate(context, method))
    for (uint64_t seed : context.seeds(1, 3, 10)) runs.push_back(run_of(context, method, *lr, seed));
  return runs;
}

std::vector<Run> runs(const Context& context) {
  std::vector<Run> runs;
  for (const Method& method : methods)
    for (double lr : rates(context, method))
      for (const Run& run : candidates(context, method, lr)) runs.push_back(run);
  for (const Method& method : methods)
    for (const Run& run : tuned(context, method)) runs.push_back(run);
  return runs;
}

void read(const Context& context, Report& report) {
  const Size sized = size(context);
  const size_t seeds = tuned(context, methods[0]).size();
  report.protocol(gradus::text(sized.train, " training images, ", sized.epochs, " epochs, ", seeds,
                               seeds == 1 ? " seed" : " seeds"));
  Table table{{"method", "learning rate", "paper (100 epochs)", "measured", "n", "train loss: paper",
               "train loss: measured", "s per 100 steps", "verdict"},
              {}};
  std::vector<apps::Record> curves, finals, tuning;
  std::vector<double> of_adam;
  std::vector<Run> reported;
  int64_t lost_candidates = 0;
  Choices choices;
  for (const Method& method : methods)
    if (std::string(method.rule) == "adam") of_adam = values_of(context, tuned(context, method), "final_accuracy", 100);
  for (const Method& method : methods) {
    const std::vector<Run> runs = tuned(context, method);
    choices.add(method.title, *best_rate(context, method), rates(context, method));
    const std::vector<double> accuracy = values_of(context, runs, "final_accuracy", 100);
    for (double lr : rates(context, method)) {
      tuning.push_back({{"method", std::string(method.title)}, {"lr", lr}, {"area", *area(context, method, lr)}});
      lost_candidates += count_diverged(context, candidates(context, method, lr));
    }
    reported.insert(reported.end(), runs.begin(), runs.end());
    std::vector<double> losses, seconds;
    for (const Run& run : runs) {
      const Outcome& outcome = context.at(run);
      const auto& rows = outcome.series.at("accuracy").rows;
      losses.push_back(rows.empty() ? std::nan("") : rows.back().at(1));
      if (const std::optional<int64_t> steps = outcome.steps_of(run.steps))
        seconds.push_back(100 * outcome.seconds / static_cast<double>(*steps));
      finals.push_back({{"method", std::string(method.title)},
                        {"lr", *run.flags.lr},
                        {"seed", static_cast<int64_t>(run.flags.seed)},
                        {"accuracy", context.at(run).at("final_accuracy")},
                        {"train_loss", losses.back()}});
    }
    const PairedDifference difference = paired_difference(accuracy, of_adam);
    table.rows.push_back({method.title, scientific(*runs.front().flags.lr), fixed(method.accuracy, 2),
                          plus_minus(mean(accuracy), standard_deviation(accuracy), 2), std::to_string(runs.size()),
                          scientific(method.loss), scientific(mean(losses)), fixed(mean(seconds), 2),
                          with_diverged(std::string(method.rule) == "adam"
                                            ? "the reference"
                                            : in_words(difference, {.above = "above Adam",
                                                                    .below = "below Adam",
                                                                    .equal = "equal to Adam",
                                                                    .open = "as Adam within its interval"}),
                                        count_diverged(context, runs))});
    for (const apps::Record& row :
         band(context, runs, "accuracy", "test_accuracy", {{"method", std::string(method.title)}}, 100))
      curves.push_back(row);
  }
  report.table(table);
  report.note(
      "Test accuracy in percent after the last epoch, mean and standard deviation over seeds; the verdict is a paired "
      "95 % interval. The learning rate is that with the largest area under the curve of validation accuracy (" +
      std::to_string(candidates(context, methods[0], 1).size()) +
      " trainings per rate, of seeds apart from those reported, with a sixth of the training images held out; all in "
      "tuning.csv); beta1 and beta2 are 0.9 and 0.999, where the authors tried others too. " +
      choices.text() +
      " Perceptron 784-1000-500-100-10, tanh, weights from a truncated normal of 0.03, batch 128. The paper's are the "
      "stored means after 100 epochs of all images; whether its hidden units were tanh or ELU is not recorded. "
      "Their GGN-MC (97.99, loss 0.0179) draws labels from the network's outputs, which no rule here sees." +
      about_diverged(context, reported) +
      (lost_candidates == 0 ? ""
                            : gradus::text(" In the choice of the learning rates ", lost_candidates,
                                           " diverged, which count as an area of 0.")));
  report.csv("tuning", tuning);
  report.csv("final", finals);
  report.csv("accuracy", curves);
  std::string commands =
      "set xlabel 'step'\nset ylabel 'test accuracy, %'\nset key bottom right\n"
      "of(m) = strcol(1) eq m ? column(3) : NaN\nplot ";
  for (const Method& method : methods)
    commands += std::string("'accuracy.csv' using 2:(of('") + method.title +
                "')) every ::1 with linespoints pt 7 ps 0.4 title '" + method.title + "', ";
  commands.resize(commands.size() - 2);
  report.plot("accuracy", "Test accuracy over training", commands + "\n");
}

}  // namespace

constexpr Experiment experiment{.name = "hesscale_training",
                                .title = "HesScale: training a perceptron with curvature",
                                .images = Images::mnist,
                                .runs = runs,
                                .read = read};

}  // namespace gradus::reproduce::hesscale_training
