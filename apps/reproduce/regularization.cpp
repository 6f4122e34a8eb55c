// The regularization options of Ye 2024 (arXiv 2410.00232): each penalty on the parameter p and on the intrinsic
// variable z, p = P z with Adam's P, on a perceptron that has few MNIST images to learn from. No published numbers are
// known.
#include <algorithm>
#include <cmath>

#include "apps/reproduce/choices.h"
#include "apps/reproduce/experiment.h"
#include "apps/reproduce/gnuplot.h"
#include "apps/reproduce/protocols.h"
#include "apps/reproduce/small_training.h"
#include "apps/reproduce/statistics.h"
#include "core/joined.h"
#include "core/ops.h"
#include "layers/init.h"
#include "models/mlp.h"

namespace gradus::reproduce::regularization {
namespace {

using optim::Builder;
using optim::DecayMode;
using optim::L1Mode;

constexpr double eps = 1e-8;

struct Option {
  const char* name;
  const char* known_as;
  std::vector<double> rates;  ///< of which the one with the best accuracy is shown
  void (*add)(Builder& builder, double rate);
};

const Option options[] = {
    {"none", "", {0}, [](Builder&, double) {}},
    {"L2 on p",
     "Adam + L2",
     {1e-4, 1e-3, 1e-2},
     [](Builder& b, double r) { b.weight_decay({.rate = r, .where = optim::is_weight}); }},
    {"L2 on z",
     "AdamW",
     {1e-2, 0.1, 1, 10},
     [](Builder& b, double r) {
       b.weight_decay({.rate = r, .mode = DecayMode::decoupled, .where = optim::is_weight});
     }},
    {"L1 on p",
     "",
     {1e-7, 1e-6, 1e-5, 1e-4, 1e-3},
     [](Builder& b, double r) { b.l1({.rate = r, .where = optim::is_weight}); }},
    {"L1 on p, proximal",
     "",
     {1e-6, 1e-5, 1e-4, 1e-3},
     [](Builder& b, double r) { b.l1({.rate = r, .mode = L1Mode::proximal, .where = optim::is_weight}); }},
    {"L1 on z",
     "L1 analogue of AdamW",
     {1e-4, 1e-3, 1e-2, 0.1},
     [](Builder& b, double r) { b.l1({.rate = r, .mode = L1Mode::decoupled, .where = optim::is_weight}); }},
    {"L1 on z, proximal",
     "",
     {1e-4, 1e-3, 1e-2, 0.1},
     [](Builder& b, double r) { b.l1({.rate = r, .mode = L1Mode::decoupled_proximal, .where = optim::is_weight}); }},
    {"gradient on p",
     "",
     {0.01, 0.1, 1},
     [](Builder& b, double r) { b.gradient_penalty({.radius = 0.01, .rate = r}); }},
    {"gradient on z",
     "",
     {1e-7, 1e-6, 1e-5, 1e-4, 1e-3},
     [](Builder& b, double r) { b.gradient_penalty({.radius = 0.01, .rate = r, .intrinsic = true}); }},
    {"SAM",
     "gradient on p, mix 1",
     {0.02, 0.1, 0.5, 1, 2},
     [](Builder& b, double r) { b.gradient_penalty(optim::sam(r)); }},
};

/// Of the weights: |p|, |z| with z_i = p_i (sqrt(v_i) + eps)^(1/2), and the part that is exactly 0.
void measure(const optim::Optimizer& optimizer, const std::vector<Parameter>& parameters, Outcome& to) {
  const StateDict state = optimizer.state();
  double p = 0, z = 0, zeros = 0, count = 0;
  for (const Parameter& parameter : parameters) {
    if (!optim::is_weight(parameter.info())) continue;
    const Tensor& value = parameter.value();
    const double steps = state.at(parameter.name() + "/adam.steps").item();
    const Tensor v = state.at(parameter.name() + "/adam.second_moment") * (1 / (1 - std::pow(0.999, steps)));
    p += dot(value, value);
    const Tensor intrinsic = value * sqrt(sqrt(v) + eps);
    z += dot(intrinsic, intrinsic);
    zeros += sum(cast(equal(value, 0), DType::float64)).item();
    count += static_cast<double>(value.numel());
  }
  to.values["p"] = std::sqrt(p);
  to.values["z"] = std::sqrt(z);
  to.values["zeros"] = zeros / count;
}

std::optional<Outcome> train(const SmallTraining& training, const DataSplits& data, const Option& option, double rate) {
  manual_seed(training.seed);
  const DatasetInfo& images = data.train.info();
  Mlp model(images.channels * images.height * images.width, data.train.num_classes(), {.hidden = {100, 100}});
  Builder builder = optim::over(model.parameters()).rule(optim::Adam{.lr = 1e-3, .eps = eps});
  option.add(builder, rate);
  optim::Optimizer optimizer = builder.build();
  const std::optional<SmallResult> result = train_small(training, data, model, optimizer);
  if (!result) return std::nullopt;
  Outcome outcome;
  if (result->diverged) outcome.diverged = "the loss is not finite";
  outcome.values = {{"accuracy", 100 * result->last().test_accuracy}, {"train_loss", result->last().train_loss}};
  measure(optimizer, model.parameters(), outcome);
  return outcome;
}

SmallTraining training_of(const Context& context) {
  return context.by_scale<SmallTraining>({.train = 100, .test = 100, .steps = 4},
                                         {.train = 1000, .test = 5000, .steps = 800},
                                         {.train = 1000, .test = 10000, .steps = 5000});
}

std::vector<uint64_t> seeds_of(const Context& context) { return context.seeds(1, 3, 10); }

Run run_of(const Context& context, const Option& option, double rate, uint64_t seed) {
  SmallTraining training = training_of(context);
  training.seed = seed;
  const DataSplits& data = context.data(Images::mnist);
  return small_run(std::string(option.name) + ", rate " + scientific(rate), Images::mnist, training,
                   {{"task", "regularization"}, {"penalty", std::string(option.name)}, {"rate", rate}},
                   [&option, &data, training, rate] { return train(training, data, option, rate); });
}

std::vector<Run> runs(const Context& context) {
  std::vector<Run> runs;
  for (const Option& option : options)
    for (double rate : option.rates)
      for (uint64_t seed : seeds_of(context)) runs.push_back(run_of(context, option, rate, seed));
  return runs;
}

/// An option at one of its rates: values of the trainings, one per seed.
struct Choice {
  double rate;
  std::vector<double> accuracy = {}, train_loss = {}, p = {}, z = {}, zeros = {};
  int64_t diverged = 0;
};

/// All rates of an option; each training is also a row of options.csv.
std::vector<Choice> choices_of(const Context& context, const Option& option, std::vector<apps::Record>& rows) {
  std::vector<Choice> choices;
  for (double rate : option.rates) {
    Choice& choice = choices.emplace_back(Choice{.rate = rate});
    for (uint64_t seed : seeds_of(context)) {
      const Outcome& m = context.at(run_of(context, option, rate, seed));
      choice.diverged += m.diverged.empty() ? 0 : 1;
      choice.accuracy.push_back(m.at("accuracy"));
      choice.train_loss.push_back(m.at("train_loss"));
      choice.p.push_back(m.at("p"));
      choice.z.push_back(m.at("z"));
      choice.zeros.push_back(100 * m.at("zeros"));
      rows.push_back({{"penalty", std::string(option.name)},
                      {"rate", rate},
                      {"seed", static_cast<int64_t>(seed)},
                      {"test_accuracy", m.at("accuracy")},
                      {"train_loss", m.at("train_loss")},
                      {"p_norm", m.at("p")},
                      {"z_norm", m.at("z")},
                      {"zeros", m.at("zeros")}});
    }
  }
  return choices;
}

std::vector<std::string> table_row(const Option& option, const Choice& best, const std::vector<double>& without) {
  const bool baseline = &option == options;
  const PairedDifference gain = paired_difference(best.accuracy, without);
  return {option.name,
          option.known_as,
          baseline ? "" : scientific(best.rate),
          plus_minus(mean(best.accuracy), standard_deviation(best.accuracy), 2),
          baseline ? "" : plus_minus(gain.mean, gain.half_width, 2),
          scientific(mean(best.train_loss)),
          fixed(mean(best.p), 2),
          fixed(mean(best.z), 3),
          fixed(mean(best.zeros), 1),
          with_diverged(baseline ? "baseline"
                                 : in_words(gain, {.above = "above none",
                                                   .below = "below none",
                                                   .equal = "equal to none",
                                                   .open = "not told from none"}),
                        best.diverged)};
}

std::string plot_commands() {
  int number = 0;
  const auto points = [&](const Option& option) {
    ++number;
    return text("'options.csv' using 6:(of('", csv_name(option.name), "', 4)) every ::1 pt ", number, " title '",
                option.name, "'");
  };
  return "set xlabel '|p|'\nset ylabel 'test accuracy, %'\nset key outside right\n"
         "of(n, c) = strcol(1) eq n ? column(c) : NaN\nset style data points\nplot " +
         joined(options, points) + "\n";
}

void read(const Context& context, Report& report) {
  const SmallTraining training = training_of(context);
  report.protocol(std::to_string(training.train) + " training images, " + std::to_string(training.steps) +
                  " steps of Adam, " + std::to_string(seeds_of(context).size()) + " seeds");
  Table table{{"penalty", "known as", "rate", "test accuracy %", "minus none", "train loss", "|p|", "|z|", "zeros %",
               "verdict"},
              {}};
  std::vector<apps::Record> rows;
  std::vector<double> without;
  Choices best_rates;
  int64_t diverged = 0;
  for (const Option& option : options) {
    const std::vector<Choice> choices = choices_of(context, option, rows);
    const Choice& best = *std::max_element(choices.begin(), choices.end(), [](const Choice& a, const Choice& b) {
      return mean(a.accuracy) < mean(b.accuracy);
    });
    if (without.empty()) without = best.accuracy;
    best_rates.add(option.name, best.rate, option.rates);
    diverged += best.diverged;
    table.rows.push_back(table_row(option, best, without));
  }
  report.table(table);
  report.note(
      "Of the rates tried for a penalty (all are in options.csv) the one with the best mean test accuracy is shown, "
      "which favors a penalty over none, and the more so the more rates it has. " +
      best_rates.text() +
      " Differences are paired by seed, with 95 % intervals. z = P^-1 p with Adam's P = diag((sqrt(v) + eps)^(-1/2)), "
      "both norms over the weights, after the last step." +
      (diverged > 0 ? last_finite_look : ""));
  report.csv("options", rows);
  report.plot("options", "Length of the parameter and test accuracy, one point per training", plot_commands());
}

}  // namespace

constexpr Experiment experiment{.name = "regularization",
                                .title = "Penalties on the parameter and on the intrinsic variable",
                                .images = Images::mnist,
                                .runs = runs,
                                .read = read};

}  // namespace gradus::reproduce::regularization
