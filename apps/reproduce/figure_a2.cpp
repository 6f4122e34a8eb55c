// Figure A.2 of the paper: test accuracy on MNIST for P = I + M M^T of several ranks and for momentum. As the published
// angles show that M does not start small, P multiplies the step by about 1 + rank sigma^2: beside each rank stands
// momentum with that learning rate, our control.
#include <algorithm>

#include "apps/reproduce/experiment.h"
#include "apps/reproduce/gnuplot.h"
#include "apps/reproduce/protocols.h"
#include "apps/reproduce/statistics.h"

namespace gradus::reproduce::figure_a2 {
namespace {

constexpr int64_t ranks[] = {784, 100, 25, 4, 1};
constexpr int64_t inputs[] = {784, 100, 100, 100};  ///< of the four layers

MnistSize size(const Context& context) {
  return context.by_scale<MnistSize>({.train = 600, .test = 200, .steps = 5}, {.steps = 2000}, {});
}

std::vector<uint64_t> seeds(const Context& context) { return context.seeds(2, 3, 5); }

struct Curve {
  std::string name;
  std::vector<Run> runs;
};

Curve momentum(const Context& context) {
  Curve curve{"momentum", {}};
  for (uint64_t seed : seeds(context)) curve.runs.push_back(mnist_run(size(context), "none", 0, seed));
  return curve;
}

Curve fop(const Context& context, int64_t rank) {
  Curve curve{"fop rank " + std::to_string(rank), {}};
  for (uint64_t seed : seeds(context)) curve.runs.push_back(mnist_run(size(context), "fop", rank, seed));
  return curve;
}

// E[M M^T] = min(rank, m) sigma^2 I with sigma^2 = gain^2 / m for m inputs.
Curve matched(const Context& context, int64_t rank) {
  Curve curve{"momentum, step of rank " + std::to_string(rank), {}};
  for (uint64_t seed : seeds(context)) {
    Run run = mnist_run(size(context), "none", 0, seed);
    for (size_t layer = 0; layer < std::size(inputs); ++layer) {
      const auto m = static_cast<double>(inputs[layer]), r = static_cast<double>(std::min(rank, inputs[layer]));
      run.lr_factors.emplace_back("fc" + std::to_string(layer + 1), 1 + r * mnist_gain * mnist_gain / m);
    }
    run.name = curve.name + ", seed " + std::to_string(seed);
    curve.runs.push_back(run);
  }
  return curve;
}

std::vector<Curve> curves(const Context& context) {
  std::vector<Curve> curves{momentum(context)};
  for (int64_t rank : ranks) curves.push_back(fop(context, rank));
  for (int64_t rank : ranks) curves.push_back(matched(context, rank));
  return curves;
}

std::vector<Run> runs(const Context& context) {
  std::vector<Run> runs;
  for (const Curve& curve : curves(context)) runs.insert(runs.end(), curve.runs.begin(), curve.runs.end());
  return runs;
}

void read(const Context& context, Report& report) {
  const std::vector<Curve> all = curves(context);
  report.protocol(size(context).text() + ", " + std::to_string(all[0].runs.size()) + " seeds");
  Table table{{"method", "paper", "final accuracy %", "best %", "n", "minus momentum", "minus its control", "verdict"},
              {}};
  std::vector<apps::Record> finals, lines;
  std::vector<PlottedCurve> drawn;  ///< controls in the color of their rank
  const auto accuracy = [&](const Curve& curve) { return values_of(context, curve.runs, "final_accuracy", 100); };
  const auto difference = [&](const Curve& a, const Curve& b) { return paired_difference(accuracy(a), accuracy(b)); };
  for (size_t i = 0; i < all.size(); ++i) {
    const Curve& curve = all[i];
    const bool is_control = i > std::size(ranks), is_fop = i >= 1 && !is_control, full = i == 1;
    const std::vector<double> final = accuracy(curve), best = values_of(context, curve.runs, "best_accuracy", 100);
    const PairedDifference gain = difference(curve, all[0]);
    const PairedDifference control = is_fop ? difference(curve, all[i + std::size(ranks)]) : PairedDifference{};
    const auto interval = [](const PairedDifference& d) { return plus_minus(d.mean, d.half_width, 2); };
    std::string verdict;
    if (is_fop)
      verdict = in_words(gain, {.above = "above momentum",
                                .below = "below momentum",
                                .equal = "equal to momentum",
                                .open = "not told from momentum"});
    if (is_fop && final.size() > 1)
      verdict += ", " + in_words(control, {.above = "above its control",
                                           .below = "below its control",
                                           .equal = "equal to its control",
                                           .open = "not told from its control"});
    verdict = with_diverged(verdict, count_diverged(context, curve.runs));
    table.rows.push_back({curve.name + (is_control ? " (ours)" : ""),
                          i == 0 ? "baseline"
                          : full ? "+0.6 over momentum"
                                 : "",
                          plus_minus(mean(final), standard_deviation(final), 2),
                          plus_minus(mean(best), standard_deviation(best), 2), std::to_string(final.size()),
                          i == 0 ? "" : interval(gain), is_fop ? interval(control) : "", verdict});
    drawn.push_back({.name = curve.name,
                     .color = static_cast<int>(is_control ? i - std::size(ranks) : i) + 1,
                     .dashed = is_control});
    for (size_t seed = 0; seed < final.size(); ++seed)
      finals.push_back({{"method", curve.name},
                        {"seed", static_cast<int64_t>(seed)},
                        {"final_accuracy", final[seed]},
                        {"best_accuracy", best[seed]}});
    for (const apps::Record& row :
         band(context, curve.runs, "accuracy", "test_accuracy", {{"method", curve.name}}, 100))
      lines.push_back(row);
  }
  std::vector<double> by_rank;  ///< the largest first
  for (size_t i = 1; i <= std::size(ranks); ++i) by_rank.push_back(mean(accuracy(all[i])));
  report.table(table);
  report.note(
      std::string("The paper's ordering, a larger rank is better, ") + (descends(by_rank) ? "holds" : "does not hold") +
      " for the means of the final accuracies. Differences are paired by seed, with 95 % intervals. The control "
      "of a rank is momentum whose learning rate is multiplied, per layer, by 1 + min(rank, inputs) sigma^2, "
      "the mean factor by which P lengthens the step at the start. " +
      size(context).recipe() + about_diverged(context, runs(context)));
  report.csv("accuracies", finals);
  report.csv("curves", lines);
  const std::string commands =
      "set xlabel 'iteration'\nset ylabel 'test accuracy, %'\nset key bottom right\nset yrange [*:100]\n" +
      lines_with_bands("curves", drawn, {});
  report.plot("curves", "Test accuracy by rank of P = I + M M^T; dashed: momentum with the step of that rank", commands,
              1000, 700);
}

}  // namespace

constexpr Experiment experiment{.name = "figure_a2",
                                .title = "Figure A.2: rank of P on MNIST",
                                .images = Images::mnist,
                                .runs = runs,
                                .read = read};

}  // namespace gradus::reproduce::figure_a2
