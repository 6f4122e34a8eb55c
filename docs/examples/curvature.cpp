// Curvature beside the gradient: a small network trained by AdaHesScale within a trust region, and the same diagonal of
// the Hessian by itself, from the sweep and exactly.
#include <gradus.h>
#include <cstdio>

using namespace gradus;

int main() {
  manual_seed(1);
  Sequential net(Linear(2, 16), Tanh(), Linear(16, 2));
  const Tensor x = random_normal({128, 2}, 0, 1, {.seed = 2});
  const Tensor label = cast(greater(sum(square(x), {1}), 1.4), DType::int64);

  auto optimizer = optim::over(net.parameters())
                       .rule(optim::AdaHesScale{.lr = 0.02, .eps = 1e-4})
                       .scale_steps({.delta = 0.1})
                       .build();
  for (int step = 0; step <= 200; ++step) {
    optimizer.zero_grad();
    const Var loss = cross_entropy(net(x), label);
    optimizer.backward(loss);  // loss.backward(), and the curvature that the rule and the trust region ask for
    optimizer.step();
    if (step % 50 == 0)
      std::printf("step %3d: loss %.4f, steps scaled by %.2f\n", step, loss.item(), optimizer.step_scale());
  }

  const Var loss = cross_entropy(net(x), label);
  const std::vector<Tensor> estimated = curvature(loss, net.parameters(), {.retain_graph = true}),
                            exact = exact_curvature(loss, net.parameters());
  const double last = norm(estimated[2] - exact[2]), first = norm(estimated[0] - exact[0]);  // of the two weights
  std::printf("distance to the exact diagonal: last layer %.1e, first layer %.1e\n", last, first);
  return loss.item() < 0.2 && last < 1e-5 ? 0 : 1;
}
