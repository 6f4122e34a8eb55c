// Figure 3 of the HesScale paper (Elsayed et al. 2024): seconds per step, from the forward pass to the changed weights,
// for perceptrons of more and more layers: batch 1, mean squared error, 64 inputs, layers of 512 tanh without bias, 100
// outputs. The published seconds are the authors', of their PyTorch program on their processor; what compares is the
// ratio to Adam of the same run.
#include <cmath>
#include <memory>

#include "apps/common/interrupt.h"
#include "apps/common/progress.h"
#include "apps/reproduce/experiment.h"
#include "apps/reproduce/statistics.h"
#include "core/parallel.h"
#include "layers/container.h"
#include "layers/linear.h"

namespace gradus::reproduce::hesscale_cost {
namespace {

constexpr int64_t inputs = 64, width = 512, outputs = 100;

struct Method {
  const char* name;
  optim::AnyRule rule;
  bool monte_carlo;
  double published;  ///< ratio to Adam at 33.6 million parameters
  double limit;      ///< what a native implementation should reach; 0: none
};

std::vector<Method> methods() {
  constexpr double lr = 1e-5;
  const auto adahesscale = [](CurvatureMethod method) {
    return optim::AdaHesScale{.lr = lr, .curvature = {.method = method}};
  };
  return {{"Adam", optim::Adam{.lr = lr}, false, 1, 0},
          {"SGD", optim::Sgd{.lr = lr}, false, 0.41, 0},
          {"BL89", adahesscale(CurvatureMethod::bl89), false, 2.08, 0},
          {"GGN-MC", adahesscale(CurvatureMethod::hesscale_gn), true, 1.20, 0},
          {"AdaHesScaleGN", adahesscale(CurvatureMethod::hesscale_gn), false, 1.31, 1.3},
          {"AdaHesScale", adahesscale(CurvatureMethod::hesscale), false, 2.21, 2.0},
          {"AdaHessian", optim::AdaHessian{.lr = lr}, false, 3.64, 0}};
}

Sequential make_net(int64_t layers) {
  Sequential net(Linear(inputs, width, {.bias = false}), Tanh());
  for (int64_t i = 0; i < layers; ++i) {
    net.add(Linear(width, width, {.bias = false}));
    net.add(Tanh());
  }
  net.add(Linear(width, outputs, {.bias = false}));
  return net;
}

/// One method's training of its own copy of the optimizer's state; the network is shared.
class Subject {
 public:
  Subject(const Method& method, Sequential& net)
      : method_(method), net_(net), optimizer_(optim::over(net.parameters()).rule(method.rule).build()) {}

  double seconds() {
    const apps::Stopwatch watch;
    optimizer_.zero_grad();
    const Var y = net_(x_), loss = mse_loss(y, target_);
    if (method_.monte_carlo) {
      const std::vector<Parameter> parameters = net_.parameters();
      const std::vector<Var> weights(parameters.begin(), parameters.end());
      const RandomKey key{.seed = 1, .offset = static_cast<uint64_t>(optimizer_.steps()) << 32};
      const std::vector<Tensor> h = monte_carlo_curvature(y, Likelihood::gaussian, weights, key);
      loss.backward();
      for (size_t i = 0; i < h.size(); ++i) parameters[i].set_curvature(h[i]);
    } else {
      optimizer_.backward(loss);
    }
    optimizer_.step();
    return watch.seconds();
  }

 private:
  const Method& method_;
  Sequential& net_;
  optim::Optimizer optimizer_;
  Tensor x_ = random_normal({1, inputs}, 0, 1, {.seed = 1}), target_ = random_normal({1, outputs}, 0, 1, {.seed = 2});
};

void read(const Context& context, Report& report) {
  const std::vector<int64_t> layers =
      context.by_scale<std::vector<int64_t>>({1, 2}, {1, 2, 4, 8, 16, 32, 64, 128}, {1, 2, 4, 8, 16, 32, 64, 128});
  const auto rounds = context.by_scale<int64_t>(3, 9, 30);
  const std::vector<Method> all = methods();
  report.protocol(std::to_string(rounds) + " rounds, " + std::to_string(num_threads()) + " threads");
  std::vector<apps::Record> rows;
  std::vector<double> last;  ///< medians at the largest size
  int64_t largest = 0;
  for (int64_t count : layers) {
    Sequential net = make_net(count);
    std::vector<Subject> subjects;
    for (const Method& method : all) subjects.emplace_back(method, net);
    std::vector<std::vector<double>> times(all.size());
    for (int64_t round = -1; round < rounds; ++round) {  // the first warms up; then all in turn
      if (apps::interrupted()) return;
      for (size_t i = 0; i < all.size(); ++i)
        if (const double time = subjects[i].seconds(); round >= 0) times[i].push_back(time);
    }
    last.clear();
    largest = net.parameter_count();
    for (size_t i = 0; i < all.size(); ++i) {
      last.push_back(median(times[i]));
      rows.push_back({{"parameters", largest},
                      {"method", std::string(all[i].name)},
                      {"seconds", last.back()},
                      {"over_adam", last.back() / last.front()}});
    }
  }
  Table table{{"method", "ms per step", "over Adam", "paper", "limit", "verdict"}, {}};
  for (size_t i = 0; i < all.size(); ++i) {
    const double ratio = last[i] / last.front();
    const bool judged = all[i].limit > 0 && context.scale() != Scale::smoke;
    table.rows.push_back({all[i].name, fixed(1e3 * last[i], 2), fixed(ratio, 2), fixed(all[i].published, 2),
                          all[i].limit > 0 ? fixed(all[i].limit, 1) : "",
                          !judged                 ? ""
                          : ratio <= all[i].limit ? "within"
                                                  : "ABOVE"});
  }
  report.table(table);
  report.note("At " + std::to_string(largest) +
              " parameters: medians of steps taken in turn, forward pass, gradient, curvature and update. The paper's "
              "ratios are those of its authors' PyTorch program at 33,638,400 parameters. BL89 and AdaHesScale do the "
              "same work under mean squared error.");
  report.csv("seconds", rows);
  std::string commands =
      "set logscale xy\nset xlabel 'parameters'\nset ylabel 'seconds per step'\nset key top left\n"
      "of(m) = strcol(2) eq m ? column(3) : NaN\nplot ";
  for (const Method& method : all)
    commands += std::string("'seconds.csv' using 1:(of('") + method.name + "')) every ::1 with points pt 7 title '" +
                method.name + "', ";
  commands.resize(commands.size() - 2);
  report.plot("seconds", "Seconds per step over parameters", commands + "\n");
}

}  // namespace

constexpr Experiment experiment{.name = "hesscale_cost",
                                .title = "HesScale: time per step over parameters",
                                .read = read,
                                .full_precision_only = true};

}  // namespace gradus::reproduce::hesscale_cost
