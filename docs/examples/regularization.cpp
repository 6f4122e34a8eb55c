// Regularization as stages of an optimizer: a perceptron on badly scaled inputs, conditioned by BNP, made sparse by L1
// on the intrinsic variable, and kept on flat ground by SAM.
#include <gradus.h>
#include <cstdio>

using namespace gradus;

int main() {
  manual_seed(1);
  std::vector<int64_t> classes;
  for (int64_t i = 0; i < 300; ++i) classes.push_back(i % 3);
  const Tensor of = Tensor::from(classes, {300});
  const Tensor centers = random_normal({3, 20}, 0, 1, {.seed = 2});
  const Tensor scales = exp(random_normal({20}, 0, 2, {.seed = 3}));
  const Tensor x = (index_select(centers, 0, of) + random_normal({300, 20}, 1, 1, {.seed = 4})) * scales;

  Sequential net(Linear(20, 32), ReLU(), Linear(32, 3));
  for (const LayerConditioning& layer : conditioning(net, x))
    std::printf("layer %s: condition number %.0f, with batch norm %.0f\n", layer.layer.c_str(), layer.plain,
                layer.batch_norm);

  auto optimizer = optim::over(net.parameters())
                       .rule(optim::Adam{.lr = 3e-3})
                       .bnp(optim::Bnp{})
                       .l1({.rate = 1e-3, .mode = optim::L1Mode::decoupled_proximal, .where = optim::is_weight})
                       .weight_decay({.rate = 1e-4, .mode = optim::DecayMode::decoupled})
                       .gradient_penalty(optim::sam(0.02))
                       .build();
  for (int step = 0; step < 400; ++step) {
    double loss = 0;
    optimizer.step([&] {
      const Var l = cross_entropy(net(x), of);
      l.backward();
      loss = l.item();
    });
    if (step % 100 == 99) std::printf("step %d: loss %.3f\n", step + 1, loss);
  }
  const Tensor weight = net.parameters()[0].value();
  const Tensor zeros = sum(cast(equal(weight, 0), DType::float32));
  std::printf("%.0f of %d weights of the first layer are exactly 0\n", zeros.item(), int(weight.numel()));
}
