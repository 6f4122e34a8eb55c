// What a newcomer writes first, against the installed library: fits a line to four points by gradient descent.
#include <gradus.h>

#include <cmath>
#include <cstdio>

using namespace gradus;

int main() {
  const Var x = Tensor::from<float>({0, 1, 2, 3}, {4});
  const Var y = Tensor::from<float>({1, 3, 5, 7}, {4});  // y = 2 x + 1
  Var slope = Var::leaf(Tensor::zeros({1}));
  Var offset = Var::leaf(Tensor::zeros({1}));
  for (int step = 0; step < 500; ++step) {
    const Var error = slope * x + offset - y;
    const Var loss = mean(error * error);
    const auto gradients = grad(loss, {slope, offset});
    slope = Var::leaf((slope - 0.1 * gradients[0]).value());
    offset = Var::leaf((offset - 0.1 * gradients[1]).value());
  }
  std::printf("y = %.4f x + %.4f\n", slope.item(), offset.item());
  return std::abs(slope.item() - 2) < 1e-3 && std::abs(offset.item() - 1) < 1e-3 ? 0 : 1;
}
