// Normalization as conditioning (Lange, Helfrich and Ye 2022; Ye 2024): condition numbers of the layers' extended
// hidden matrices and training curves with batch, layer and group normalization of every layer's input and with BNP,
// which puts none into the network; and the condition number of P^T H P for the P of adaptive rules, with the exact
// Hessian of a small network.
#include <algorithm>
#include <cmath>
#include <memory>

#include "apps/reproduce/experiment.h"
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

namespace gradus::reproduce {
namespace {

constexpr const char* methods[] = {"plain", "batch norm", "layer norm", "group norm", "BNP"};
constexpr double rates[] = {0.003, 0.01, 0.03, 0.1, 0.3};

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

struct Trained {
  SmallResult result;
  std::shared_ptr<Sequential> net;
};

/// Of the layers' inputs, as each layer gets them; with BNP, as it conditions with them.
std::vector<double> conditions(Trained& trained, const std::string& method, const DataSplits& data, int64_t rows) {
  const Loader batches(data.train, {.batch = rows, .normalization = channel_statistics(data.train)});
  std::vector<double> numbers;
  for (const LayerConditioning& layer : conditioning(*trained.net, batches.epoch(0).next()->images))
    numbers.push_back(method == "BNP" ? layer.batch_norm : layer.plain);
  return numbers;
}

Trained train(const SmallTraining& training, const DataSplits& data, const std::string& method, double lr) {
  manual_seed(training.seed);
  const DatasetInfo& images = data.train.info();
  const auto net = std::make_shared<Sequential>(
      network(method, images.channels * images.height * images.width, data.train.num_classes()));
  optim::Builder builder = optim::over(net->parameters()).rule(optim::Sgd{.lr = lr, .momentum = 0.9});
  if (method == "BNP") builder.condition(optim::Bnp{});
  optim::Optimizer optimizer = builder.build();
  return {train_small(training, data, *net, optimizer), net};
}

/// Every normalization on one data set, each at its best learning rate.
void compare(const Context& context, const std::string& name, const DataSplits& data, SmallTraining training,
             Table& table, std::vector<apps::Record>& curves, std::vector<apps::Record>& numbers) {
  for (const char* method : methods) {
    Trained best;
    double best_rate = 0;
    for (double lr : rates) {
      training.seed = 0;
      Trained trained = train(training, data, method, lr);
      if (trained.result.diverged) continue;
      if (best.result.looks.empty() || trained.result.last().train_loss < best.result.last().train_loss) {
        best = std::move(trained);
        best_rate = lr;
      }
    }
    if (best.result.looks.empty()) {
      table.rows.push_back({name, method, "", "", "", "", "", "diverges at every rate"});
      continue;
    }
    std::vector<double> accuracy, loss;
    for (uint64_t seed : context.seeds(1, 2, 5)) {
      training.seed = seed;
      const Trained trained = seed == 0 ? best : train(training, data, method, best_rate);
      accuracy.push_back(100 * trained.result.last().test_accuracy);
      loss.push_back(trained.result.last().train_loss);
    }
    for (const Look& look : best.result.looks)
      curves.push_back({{"data", name},
                        {"method", std::string(method)},
                        {"step", look.step},
                        {"train_loss", look.train_loss},
                        {"test_accuracy", 100 * look.test_accuracy}});
    const std::vector<double> kappa = conditions(best, method, data, std::min<int64_t>(1000, training.train));
    for (size_t layer = 0; layer < kappa.size(); ++layer)
      numbers.push_back({{"data", name},
                         {"method", std::string(method)},
                         {"layer", static_cast<int64_t>(layer + 1)},
                         {"condition_number", kappa[layer]}});
    const auto plain = [&](size_t layer) {
      for (const apps::Record& row : numbers) {
        const auto& fields = row.fields();
        if (std::get<std::string>(fields[0].second) == name && std::get<std::string>(fields[1].second) == "plain" &&
            std::get<int64_t>(fields[2].second) == static_cast<int64_t>(layer + 1))
          return std::get<double>(fields[3].second);
      }
      return std::nan("");
    };
    size_t better = 0;
    for (size_t layer = 0; layer < kappa.size(); ++layer) better += kappa[layer] < plain(layer);
    table.rows.push_back(
        {name, method, scientific(best_rate), scientific(mean(loss)),
         plus_minus(mean(accuracy), standard_deviation(accuracy), 2), scientific(kappa.at(0)), scientific(kappa.at(1)),
         std::string(method) == "plain" ? "baseline"
         : better == kappa.size()
             ? "better conditioned in every layer"
             : "better conditioned in " + std::to_string(better) + " of " + std::to_string(kappa.size()) + " layers"});
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
  for (double value : symmetric_eigen(symmetric).values.to_vector<double>()) sizes.push_back(std::abs(value));
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

void adaptive(const Context& context, const DataSplits& data, Report& report, std::vector<apps::Record>& rows) {
  struct Case {
    const char* name;
    optim::AnyRule rule;
    const char* slot;
    double decay, eps;
  };
  const Case cases[] = {{"AdaGrad", optim::AdaGrad{.lr = 0.05}, "adagrad.sum", 0, 1e-10},
                        {"RMSProp", optim::RmsProp{.lr = 3e-3}, "rmsprop.square", 0, 1e-8},
                        {"Adam", optim::Adam{.lr = 5e-3}, "adam.second_moment", 0.999, 1e-8}};
  const auto steps = context.by_scale<int64_t>(3, 300, 1000);
  const Loader batches(data.train, {.batch = 64, .normalization = channel_statistics(data.train)});
  Table table{{"rule", "steps", "kappa of H", "of P^T H P", "largest / median of H", "of P^T H P", "verdict"}, {}};
  for (const Case& c : cases) {
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
        optimizer.step([&] { loss(batch).backward(); });
        if (optimizer.steps() == steps) break;
      }
    const Loader many(data.train, {.batch = std::min<int64_t>(500, data.train.size()),
                                   .normalization = channel_statistics(data.train)});
    const Tensor h = hessian(loss(*many.epoch(0).next()), parameters);
    const Tensor p = scaling(optimizer, parameters, c.slot, c.decay, c.eps);
    const Spread before = spread(h), after = spread(h * unsqueeze(p, 0) * unsqueeze(p, 1));
    table.rows.push_back({c.name, std::to_string(steps), scientific(before.smallest), scientific(after.smallest),
                          scientific(before.median), scientific(after.median),
                          after.median < before.median ? "P^T H P is better conditioned" : "not better conditioned"});
    rows.push_back({{"rule", std::string(c.name)},
                    {"kappa_h", before.smallest},
                    {"kappa_php", after.smallest},
                    {"median_ratio_h", before.median},
                    {"median_ratio_php", after.median}});
  }
  report.table(table);
}

}  // namespace

void read_conditioning(const Context& context, Report& report) {
  const DataSplits& mnist = context.data(Images::mnist);
  const SmallTraining training =
      context.by_scale<SmallTraining>({.train = 100, .test = 100, .steps = 4, .evaluate_every = 2},
                                      {.train = 10000, .test = 2000, .steps = 300, .evaluate_every = 50},
                                      {.train = 60000, .test = 10000, .steps = 5000, .evaluate_every = 250});
  report.protocol(std::to_string(training.train) + " training images, " + std::to_string(training.steps) + " steps, " +
                  std::to_string(context.seeds(1, 2, 5).size()) + " seeds");
  Table table{{"data", "method", "learning rate", "train loss", "test accuracy %", "kappa, layer 1", "kappa, layer 2",
               "verdict"},
              {}};
  std::vector<apps::Record> curves, numbers, rules;
  compare(context, "MNIST", mnist, training, table, curves, numbers);
  std::string cifar;
  try {
    compare(context, "CIFAR-10", context.data(Images::cifar10), training, table, curves, numbers);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::io) throw;
    cifar = std::string(" CIFAR-10 is left out: ") + error.what();
  }
  report.table(table);
  adaptive(context, mnist, report, rules);
  report.note(
      "Perceptrons with two hidden layers of 100, momentum 0.9, the best of the rates 0.003 to 0.3 by training loss. "
      "The "
      "condition number kappa is that of [1, H], H the input of a layer over 1,000 images after the training; with BNP "
      "that of the standardised input, which it conditions with implicitly. In the second table H is the exact Hessian "
      "of a 16-8-10 tanh network on images of 4x4 pixels and P the rule's own; kappa counts absolute eigenvalues above "
      "1e-6 of the largest." +
      cifar);
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

}  // namespace gradus::reproduce
