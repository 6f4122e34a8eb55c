// A small network with every kind of layer learns in mixed precision as in float32.
#include "layers/container.h"
#include "layers/conv.h"
#include "layers/linear.h"
#include "layers/norm.h"
#include "layers/pool.h"
#include "tests/models/loss_curve.h"

using namespace gradus;

TEST_CASE("the loss of a small network stays within 1 % of float32's over 200 steps of mixed precision") {
  testing::check_same_curve({.model =
                                 [] {
                                   manual_seed(3);
                                   return std::make_unique<Sequential>(
                                       Conv2d(3, 16, {.kernel = 3, .stride = 2, .padding = 1}), BatchNorm2d(16), ReLU(),
                                       MaxPool2d({.kernel = 2}),
                                       Conv2d(16, 32, {.kernel = 3, .padding = 1, .activation = Activation::relu}),
                                       Flatten(), Linear(32 * 8 * 8, 10));
                                 },
                             .lr = 0.003});
}
