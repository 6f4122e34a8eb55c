// Your own data: a table of numbers from files that NumPy wrote or reads, a network that predicts one column from the
// others, and how good it is on rows that it has not seen.
#include <gradus.h>
#include <cstdio>

using namespace gradus;

/// Stands for a measurement: 8 columns in units of their own, and what came of them.
void measure(int64_t rows) {
  const Tensor x = random_normal({rows, 8}, 0, 1, {.seed = 2});
  const auto column = [&](int64_t i) { return select(x, 1, i); };
  const Tensor noise = random_normal({rows}, 0, 0.1, {.seed = 3});
  save_npy("y.npy", 300.0 + 40.0 * (sin(column(0) * 2.0) + column(1) * column(2) + noise));
  save_npy("x.npy", x * exp(random_normal({8}, 0, 3, {.seed = 4})));
}

/// Makes columns of mean 0 and standard deviation 1, as far as the rows of the training tell.
struct Standard {
  Tensor center, unit;
  explicit Standard(const Tensor& rows)
      : center(mean(rows, {0}, true)), unit(sqrt(mean(square(rows - center), {0}, true))) {}
  Tensor operator()(const Tensor& rows) const { return (rows - center) / unit; }
  Tensor back(const Tensor& rows) const { return rows * unit + center; }
};

int main() {
  measure(2500);
  const Tensor x = load_npy("x.npy"), y = unsqueeze(load_npy("y.npy"), 1);  // [2500, 8] and [2500, 1]
  const Tensor train_x = slice(x, 0, 0, 2000), train_y = slice(y, 0, 0, 2000);
  const Standard of_x(train_x), of_y(train_y);

  manual_seed(1);
  Sequential net(Linear(8, 64), SiLU(), Linear(64, 64), SiLU(), Linear(64, 1));
  auto optimizer = optim::over(net.parameters()).precondition(optim::Fop{}).rule(optim::Adam{.lr = 3e-3}).build();
  const TensorLoader batches({of_x(train_x), of_y(train_y)}, {.batch = 50});
  for (int64_t epoch = 0; epoch < 30; ++epoch) {
    double total = 0;
    for (const auto& [input, target] : batches.epoch(epoch)) {
      optimizer.zero_grad();
      const Var loss = mse_loss(net(input), target);
      loss.backward();
      optimizer.step();
      total += loss.item();
    }
    if (epoch % 10 == 9) std::printf("epoch %2d: loss %.4f\n", int(epoch) + 1, total / double(batches.batches()));
  }

  net.eval();
  const NoGrad constants;
  const Tensor truth = slice(y, 0, 2000, 2500), guess = of_y.back(net(of_x(slice(x, 0, 2000, 2500))).value());
  const double unexplained = sum(square(truth - guess)).item() / sum(square(truth - mean(truth))).item();
  std::printf("of the variance of new rows, %.1f %% is explained\n", 100 * (1 - unexplained));
  return unexplained < 0.1 ? 0 : 1;
}
