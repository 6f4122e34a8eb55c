// The logistic regression of Baydin et al. (2018, arXiv 1703.04782), whose published losses S-HD reproduces.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "autograd/ops.h"
#include "data/loader.h"
#include "data/mnist.h"
#include "layers/container.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "optim/optimizer.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;
using namespace gradus::optim;

namespace {

constexpr int64_t epochs = 10;

/// The loss on the test images after ten epochs of batches of 128.
double final_loss(const DataSplits& data, const AnyRule& rule, const AnyPreconditioner& preconditioner) {
  const Normalization normalization{{0.1307}, {0.3081}};
  const Loader train(data.train, {.batch = 128, .seed = 6, .normalization = normalization});
  const Loader test(data.test, {.batch = data.test.size(), .shuffle = false, .normalization = normalization});
  manual_seed(3);
  Sequential net(Flatten(), Linear(784, 10));
  Optimizer optimizer =
      over(net.parameters()).rule(rule).precondition(preconditioner).weight_decay({.rate = 1e-4}).build();
  for (int64_t epoch = 0; epoch < epochs; ++epoch)
    for (const auto& [images, labels] : train.epoch(epoch)) {
      optimizer.zero_grad();
      cross_entropy(net(images), labels).backward();
      optimizer.step();
    }
  const NoGrad no_tape;
  double loss = 0;
  for (const auto& [images, labels] : test.epoch(0)) loss = cross_entropy(net(images), labels).item();
  return loss;
}

}  // namespace

TEST_CASE("logistic regression on MNIST ends with Baydin's published losses, with learned rates too") {
  const std::string folder = shared_data("mnist");
  if (folder.empty()) return;
  const DataSplits data = read_mnist(folder);
  const Sgd plain{.lr = 1e-3}, nesterov{.lr = 1e-3, .momentum = 0.9, .nesterov = true};
  const auto learned = [](double rate) {
    return SHd{.hyper = Sgd{.lr = rate}, .form = SHd::Form::baydin, .learning = {.update_first = true}};
  };
  const struct {
    const char* name;
    AnyRule rule;
    AnyPreconditioner preconditioner;
    double published;
  } rows[] = {{"SGD", plain, NoPreconditioner{}, 0.37375},
              {"SGD-HD", plain, learned(1e-3), 0.28778},
              {"SGD-N", nesterov, NoPreconditioner{}, 0.28455},
              {"SGD-N-HD", nesterov, learned(1e-3), 0.27186},
              {"Adam", Adam{.lr = 1e-3}, NoPreconditioner{}, 0.27187},
              {"Adam-HD", Adam{.lr = 1e-3}, learned(1e-7), 0.27233}};
  for (const auto& row : rows) {
    CAPTURE(row.name);
    const double loss = final_loss(data, row.rule, row.preconditioner);
    MESSAGE(std::string(row.name) << ": " << loss << ", published " << row.published);
    CHECK(std::abs(loss - row.published) < 0.01);
  }
}
