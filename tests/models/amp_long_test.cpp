// All-CNN-C in mixed precision.
#include "models/all_cnn.h"
#include "tests/models/loss_curve.h"

using namespace gradus;

// With He's initial values it learns from the first step, and with this learning rate so evenly that rounding does not
// grow: float32 with other numbers of threads stays within 0.3 % too, in each quarter. With its own initial values and
// a longer step it leaves chance at a step that the last bit decides, and the test would compare luck.
TEST_CASE("the loss of All-CNN-C stays within 1 % of float32's over 200 steps of mixed precision") {
  testing::check_same_curve({.model =
                                 [] {
                                   manual_seed(3);
                                   auto model = std::make_unique<AllCnn>(AllCnnOptions{.dropout = false});
                                   init::initialize(*model, init::Scheme::kaiming_normal);
                                   return model;
                                 },
                             .lr = 0.0007,
                             .learned = 0.5});
}
