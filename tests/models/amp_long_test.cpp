// All-CNN-C in mixed precision.
#include "models/all_cnn.h"
#include "tests/models/loss_curve.h"

using namespace gradus;

// It stays at chance for its first 150 steps, whatever the precision; when it leaves is a matter of the last bit, so a
// learning rate at which it leaves earlier would compare nothing.
TEST_CASE("the loss of All-CNN-C stays within 1 % of float32's over 200 steps of mixed precision") {
  testing::check_same_curve({.model =
                                 [] {
                                   manual_seed(3);
                                   auto model = std::make_unique<AllCnn>(AllCnnOptions{.dropout = false});
                                   model->seed(3);
                                   return model;
                                 },
                             .batch = 64,
                             .learned = 0.97});
}
