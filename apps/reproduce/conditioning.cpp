// Normalization as conditioning (Lange, Helfrich and Ye 2022; Ye 2024): condition numbers of the layers' extended
// hidden matrices and training curves with batch, layer and group normalization of every layer's input and with BNP,
// which puts none into the network; and the condition number of P^T H P for the P of adaptive rules, with the exact
// Hessian of a small network.
#include <algorithm>
#include <cmath>

#include "apps/common/interrupt.h"
#include "apps/reproduce/choices.h"
#include "apps/reproduce/experiment.h"
#include "apps/reproduce/protocols.h"
#include "apps/reproduce/small_training.h"
#include "apps/reproduce/statistics.h"
#include "core/error.h"
#include "core/linalg.h"
#include "data/loader.h"
#include "layers/conditioning.h"
#include "layers/container.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "layers/norm.h"

namespace gradus::reproduce::conditioning {
namespace {

constexpr const char* methods[] = {"plain", "batch norm", "layer norm", "group norm", "BNP"};
constexpr double rates[] = {0.003, 0.01, 0.03, 0.1, 0.3, 1};
constexpr double clearly = 0.9;  ///< a condition number is better that is below so much of the plain network's

/// Three layers; a normalization, where there is one, of the input of each.
Sequential network(const std::string& method, int64_t inputs, int64_t classes) {
  Sequential net;
  net.add(Flatten());
  int64_t width = inputs;
  for (int64_t next : {int64_t{100}, int64_t{100}, classes}) {
    if (method == "batch norm") net.add(BatchNorm1d(width));
    if (method == "layer norm") net.add(LayerNorm(width));
    if (method == "group norm") net.add(GroupNorm(4, width));
    net.add(Linear(width, next));
    if (next != classes) net.add(ReLU());
    width = next;
  }
  return net;
}

std::optional<SmallResult> train(const SmallTraining& training, const DataSplits& data, const std::string& method,
                                 double lr, Sequential& net) {
  optim::Builder builder = optim::over(net.parameters()).rule(optim::Sgd{.lr = lr, .momentum = 0.9});
  if (method == "BNP") builder.bnp(optim::Bnp{});
  optim::Optimizer optimizer = builder.build();
  return train_small(training, data, net, optimizer);
}

/// Of the layers' inputs, as each layer gets them; with BNP, as it conditions with them.
std::vector<double> conditions(Sequential& net, const std::string& method, const DataSplits& data, int64_t rows) {
  const Loader batches(data.train, {.batch = rows, .normalization = channel_statistics(data.train)});
  std::vector<double> numbers;
  for (const LayerConditioning& layer : gradus::conditioning(net, batches.epoch(0).next()->images))
    numbers.push_back(method == "BNP" ? layer.batch_norm : layer.plain);
  return numbers;
}

/// Of how many images a condition number is that.
int64_t rows_of(const SmallTraining& training, const DataSplits& data) {
  return std::min({int64_t{1000}, training.train, data.train.size()});
}

SmallTraining training_of(const Context& context) {
  return context.by_scale<SmallTraining>({.train = 100, .test = 100, .steps = 4, .evaluate_every = 2},
                                         {.train = 10000, .test = 2000, .steps = 300, .evaluate_every = 50},
                                         {.train = 60000, .test = 10000, .steps = 5000, .evaluate_every = 250});
}

std::vector<uint64_t> seeds_of(const Context& context) { return context.seeds(1, 2, 5); }

/// Series: "curve" (step, train_loss, test_accuracy). With `measured` also "kappa", the layers' condition numbers after
/// the training, which take longer than it does.
Run run_of(const Context& context, Images images, const std::string& method, double lr, uint64_t seed,
           bool measured = false) {
  SmallTraining training = training_of(context);
  training.seed = seed;
  const DataSplits& data = context.data(images);
  const auto work = [&data, training, method, lr, measured]() -> std::optional<Outcome> {
    manual_seed(training.seed);
    const DatasetInfo& info = data.train.info();
    Sequential net = network(method, info.channels * info.height * info.width, data.train.num_classes());
    const std::optional<SmallResult> result = train(training, data, method, lr, net);
    if (!result) return std::nullopt;
    Outcome outcome;
    if (result->diverged) outcome.diverged = "the loss is not finite";
    for (const Look& look : result->looks)
      outcome.add("curve", {"step", "train_loss", "test_accuracy"},
                  {static_cast<double>(look.step), look.train_loss, look.test_accuracy});
    if (measured)
      outcome.add("kappa", {"layer 1", "layer 2", "layer 3"}, conditions(net, method, data, rows_of(training, data)));
    return outcome;
  };
  apps::Record settings{{"task", "conditioning"}, {"method", method}, {"lr", lr}, {"condition_numbers", measured}};
  if (method == "BNP") settings.add("variance", "about the mean of what was seen");  // an earlier version's was another
  return small_run(method + ", learning rate " + scientific(lr) + (measured ? ", condition numbers" : ""), images,
                   training, settings, work);
}

double last(const Outcome& outcome, size_t column) { return outcome.series_at("curve").rows.back().at(column); }

/// The rate with the lowest training loss for seed 0; nothing where none converges, or one is not tried yet.
std::optional<double> best_rate(const Context& context, Images images, const std::string& method) {
  std::optional<double> best;
  double lowest = 0;
  for (double lr : rates) {
    const Outcome* outcome = context.find(run_of(context, images, method, lr, 0));
    if (!outcome) return std::nullopt;
    if (!outcome->diverged.empty() || (best && last(*outcome, 1) >= lowest)) continue;
    best = lr;
    lowest = last(*outcome, 1);
  }
  return best;
}

/// Every normalization on one data set.
void add_runs(const Context& context, Images images, std::vector<Run>& runs) {
  for (const char* method : methods)
    for (double lr : rates) runs.push_back(run_of(context, images, method, lr, 0));
  for (const char* method : methods) {
    const std::optional<double> lr = best_rate(context, images, method);
    if (!lr) continue;
    runs.push_back(run_of(context, images, method, *lr, 0, true));
    for (uint64_t seed : seeds_of(context))
      if (seed != 0) runs.push_back(run_of(context, images, method, *lr, seed));
  }
}

/// The same for the report, each at its best learning rate.
void compare(const Context& context, const std::string& name, Images images, Table& table,
             std::vector<apps::Record>& curves, std::vector<apps::Record>& numbers, Choices& choices,
             bool& any_diverged) {
  std::vector<double> plain;
  for (const char* method : methods) {
    const std::optional<double> lr = best_rate(context, images, method);
    if (!lr) {
      table.rows.push_back({name, method, "", "", "", "", "", "diverges at every rate"});
      continue;
    }
    choices.add(name + " " + method, *lr, rates);
    std::vector<double> accuracy, loss;
    int64_t diverged = 0;
    for (uint64_t seed : seeds_of(context)) {
      const Outcome& outcome = context.at(run_of(context, images, method, *lr, seed));
      diverged += outcome.diverged.empty() ? 0 : 1;
      accuracy.push_back(100 * last(outcome, 2));
      loss.push_back(last(outcome, 1));
    }
    const Outcome& measured = context.at(run_of(context, images, method, *lr, 0, true));
    for (const std::vector<double>& look : measured.series_at("curve").rows)
      curves.push_back({{"data", name},
                        {"method", std::string(method)},
                        {"step", static_cast<int64_t>(look[0])},
                        {"train_loss", look[1]},
                        {"test_accuracy", 100 * look[2]}});
    const std::vector<double>& kappa = measured.series_at("kappa").rows.at(0);
    const bool baseline = std::string(method) == "plain";
    if (baseline) plain = kappa;
    size_t better = 0;
    for (size_t layer = 0; layer < kappa.size(); ++layer) {
      numbers.push_back({{"data", name},
                         {"method", std::string(method)},
                         {"layer", static_cast<int64_t>(layer + 1)},
                         {"condition_number", kappa[layer]}});
      better += layer < plain.size() && kappa[layer] < clearly * plain[layer];
    }
    table.rows.push_back(
        {name, method, scientific(*lr), scientific(mean(loss)),
         plus_minus(mean(accuracy), standard_deviation(accuracy), 2), scientific(kappa.at(0)), scientific(kappa.at(1)),
         with_diverged(baseline        ? "baseline"
                       : plain.empty() ? "no plain network to compare with"
                       : better == kappa.size()
                           ? "better conditioned in every layer"
                           : gradus::text("better conditioned in ", better, " of ", kappa.size(), " layers"),
                       diverged)});
    any_diverged = any_diverged || diverged > 0;
  }
}

/// Why CIFAR-10 is left out; empty where it is there.
std::string without_cifar10(const Context& context) {
  try {
    context.data(Images::cifar10);
    return "";
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::io) throw;
    return error.what();
  }
}

// ---- Why adaptive rules accelerate ---------------------------------------------------------------------------------

/// 28x28 pixels averaged to 4x4, which leaves a Hessian of 226 x 226.
Tensor shrunk(const Tensor& images) {
  const Tensor small = avg_pool2d(images, {.kernel = {7, 7}, .stride = {7, 7}});
  return cast(flatten(small, 1), DType::float64);
}

Tensor hessian(const Var& loss, const std::vector<Parameter>& parameters) {
  const std::vector<Var> vars(parameters.begin(), parameters.end());
  std::vector<Var> flat;
  for (const Var& g : grad(loss, vars, {.create_graph = true})) flat.push_back(flatten(g));
  const Var g = concat(flat, 0);
  std::vector<Tensor> rows;
  for (int64_t i = 0; i < g.size(0); ++i) {
    std::vector<Tensor> row;
    for (const Var& second : grad(select(g, 0, i), vars, {.retain_graph = true}))
      row.push_back(flatten(second.value()));
    rows.push_back(concat(row, 0));
  }
  return stack(rows, 0);
}

/// The largest over the smallest absolute eigenvalue above 1e-6 of the largest, and over the median one.
struct Spread {
  double smallest, median;
};
Spread spread(const Tensor& symmetric) {
  std::vector<double> sizes;
  for (double value : symmetric_eigenvalues(symmetric).to_vector<double>()) sizes.push_back(std::abs(value));
  std::sort(sizes.begin(), sizes.end());
  const auto smallest = std::find_if(sizes.begin(), sizes.end(), [&](double s) { return s > 1e-6 * sizes.back(); });
  return {sizes.back() / *smallest, sizes.back() / sizes[sizes.size() / 2]};
}

/// diag(P) of every parameter after some steps: (sqrt(s) + eps)^(-1/2) of the rule's second moment s.
Tensor scaling(const optim::Optimizer& optimizer, const std::vector<Parameter>& parameters, const std::string& slot,
               double decay, double eps) {
  const StateDict state = optimizer.state();
  const double correction = decay > 0 ? 1 - std::pow(decay, static_cast<double>(optimizer.steps())) : 1;
  std::vector<Tensor> parts;
  for (const Parameter& parameter : parameters) {
    const Tensor s = state.at(parameter.name() + "/" + slot) * (1 / correction);
    parts.push_back(flatten(rsqrt(sqrt(s) + eps)));
  }
  return concat(parts, 0);
}

struct Case {
  const char* name;
  optim::AnyRule rule;
  const char* slot;
  double decay, eps;
};
const Case cases[] = {{"AdaGrad", optim::AdaGrad{.lr = 0.05}, "adagrad.sum", 0, 1e-10},
                      {"RMSProp", optim::RmsProp{.lr = 3e-3}, "rmsprop.square", 0, 1e-8},
                      {"Adam", optim::Adam{.lr = 5e-3}, "adam.second_moment", 0.999, 1e-8}};

/// Values: kappa_h, kappa_php, median_ratio_h, median_ratio_php.
std::optional<Outcome> train_adaptive(const Case& c, const DataSplits& data, int64_t steps) {
  const Loader batches(data.train, {.batch = 64, .normalization = channel_statistics(data.train)});
  manual_seed(0);
  Sequential net(Linear(16, 8), Tanh(), Linear(8, data.train.num_classes()));
  std::vector<Parameter> parameters;
  for (const Parameter& p : net.parameters()) parameters.emplace_back(cast(p.value(), DType::float64), p.info());
  const auto loss = [&](const Batch& batch) {
    const Var hidden = tanh(linear(shrunk(batch.images), parameters[0], parameters[1]));
    return cross_entropy(linear(hidden, parameters[2], parameters[3]), batch.labels);
  };
  optim::Optimizer optimizer = optim::over(parameters).rule(c.rule).build();
  for (int64_t epoch = 0; optimizer.steps() < steps; ++epoch)
    for (const Batch& batch : batches.epoch(epoch)) {
      if (apps::interrupted()) return std::nullopt;
      optimizer.step([&] { loss(batch).backward(); });
      if (optimizer.steps() == steps) break;
    }
  const Loader many(data.train, {.batch = std::min<int64_t>(500, data.train.size()),
                                 .normalization = channel_statistics(data.train)});
  const Tensor h = hessian(loss(*many.epoch(0).next()), parameters);
  const Tensor p = scaling(optimizer, parameters, c.slot, c.decay, c.eps);
  const Spread before = spread(h), after = spread(h * unsqueeze(p, 0) * unsqueeze(p, 1));
  Outcome outcome;
  outcome.values = {{"kappa_h", before.smallest},
                    {"kappa_php", after.smallest},
                    {"median_ratio_h", before.median},
                    {"median_ratio_php", after.median}};
  return outcome;
}

Run adaptive_run(const Context& context, const Case& c) {
  const SmallTraining training{.steps = context.by_scale<int64_t>(3, 300, 1000)};
  const DataSplits& data = context.data(Images::mnist);
  return small_run(c.name, Images::mnist, training, {{"task", "conditioning by a rule"}, {"rule", std::string(c.name)}},
                   [&c, &data, steps = training.steps] { return train_adaptive(c, data, steps); });
}

/// P^T H P beside H, by the two numbers of the table.
std::string better(bool by_kappa, bool by_median) {
  return by_kappa && by_median ? "P^T H P is better conditioned by both"
         : by_kappa            ? "better by kappa, not by largest / median"
         : by_median           ? "better by largest / median, not by kappa"
                               : "better conditioned by neither";
}

void report_adaptive(const Context& context, Report& report, std::vector<apps::Record>& rows) {
  Table table{{"rule", "steps", "kappa of H", "kappa of P^T H P", "largest / median of H",
               "largest / median of P^T H P", "verdict"},
              {}};
  for (const Case& c : cases) {
    const Run run = adaptive_run(context, c);
    const Outcome& outcome = context.at(run);
    const double before = outcome.at("median_ratio_h"), after = outcome.at("median_ratio_php");
    table.rows.push_back({c.name, std::to_string(run.steps), scientific(outcome.at("kappa_h")),
                          scientific(outcome.at("kappa_php")), scientific(before), scientific(after),
                          better(outcome.at("kappa_php") < outcome.at("kappa_h"), after < before)});
    rows.push_back({{"rule", std::string(c.name)},
                    {"kappa_h", outcome.at("kappa_h")},
                    {"kappa_php", outcome.at("kappa_php")},
                    {"median_ratio_h", before},
                    {"median_ratio_php", after}});
  }
  report.table(table);
}

std::vector<Run> runs(const Context& context) {
  std::vector<Run> runs;
  add_runs(context, Images::mnist, runs);
  if (without_cifar10(context).empty()) add_runs(context, Images::cifar10, runs);
  for (const Case& c : cases) runs.push_back(adaptive_run(context, c));
  return runs;
}

void read(const Context& context, Report& report) {
  const SmallTraining training = training_of(context);
  report.protocol(std::to_string(training.train) + " training images, " + std::to_string(training.steps) + " steps, " +
                  std::to_string(seeds_of(context).size()) + " seeds");
  Table table{{"data", "method", "learning rate", "train loss", "test accuracy %", "kappa, layer 1 (seed 0)",
               "kappa, layer 2 (seed 0)", "verdict"},
              {}};
  std::vector<apps::Record> curves, numbers, rules;
  Choices choices;
  bool diverged = false;
  compare(context, "MNIST", Images::mnist, table, curves, numbers, choices, diverged);
  const std::string missing = without_cifar10(context);
  if (missing.empty()) {
    compare(context, "CIFAR-10", Images::cifar10, table, curves, numbers, choices, diverged);
    report.also(Images::cifar10);
  }
  report.table(table);
  report_adaptive(context, report, rules);
  report.note(
      "Perceptrons with two hidden layers of 100, momentum 0.9, the best of the rates 0.003 to 1 by the training "
      "loss of seed 0, which is one of those reported. " +
      choices.text() +
      gradus::text(" The condition number kappa is that of [1, H], H the input of a layer over ",
                   rows_of(training, context.data(Images::mnist)),
                   " images after the training with seed 0; with BNP that of the standardized input, which it "
                   "conditions with implicitly. A layer is better conditioned where its kappa is below ",
                   apps::exact(clearly), " times the plain network's.") +
      (diverged ? last_finite_look : "") +
      " In the second table H is the "
      "exact Hessian of a 16-8-10 tanh network on images of 4x4 pixels and P the rule's own; kappa counts absolute "
      "eigenvalues above 1e-6 of the largest." +
      (missing.empty() ? "" : " CIFAR-10 is left out: " + missing));
  report.csv("curves", curves);
  report.csv("condition_numbers", numbers);
  report.csv("rules", rules);
  std::string commands =
      "set xlabel 'step'\nset ylabel 'training loss'\nset logscale y\nset key top right\n"
      "of(m, c) = (strcol(1) eq 'MNIST' && strcol(2) eq m) ? column(c) : NaN\nplot ";
  for (const char* method : methods)
    commands += std::string(method == methods[0] ? "" : ", ") + "'curves.csv' using 3:(of('" + method +
                "', 4)) every ::1 with linespoints title '" + method + "'";
  report.plot("curves", "Training loss on MNIST by normalization, each at its best learning rate", commands + "\n");
}

}  // namespace

constexpr Experiment experiment{.name = "conditioning",
                                .title = "Normalization, BNP and adaptive rules as conditioning",
                                .images = Images::mnist,
                                .runs = runs,
                                .read = read};

}  // namespace gradus::reproduce::conditioning
