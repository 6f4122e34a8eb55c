// A model of one's own: a small residual network with a skip connection, trained with FOP, saved, and loaded again.
#include <gradus.h>
#include <iostream>

using namespace gradus;

class Block : public Module {
 public:
  Block(int64_t in, int64_t out, int64_t stride)
      : conv1_(child("conv1", Conv2d(in, out, {.kernel = 3, .stride = stride, .padding = 1, .bias = false}))),
        bn1_(child("bn1", BatchNorm2d(out))),
        conv2_(child("conv2", Conv2d(out, out, {.kernel = 3, .padding = 1, .bias = false}))),
        bn2_(child("bn2", BatchNorm2d(out))),
        skip_(child("skip", Conv2d(in, out, {.kernel = 1, .stride = stride, .bias = false}))) {}
  Var forward(const Var& x) override { return relu(bn2_(conv2_(relu(bn1_(conv1_(x))))) + skip_(x)); }
  std::string describe() const override { return "Block"; }

 private:  // in the order of the children
  Module &conv1_, &bn1_, &conv2_, &bn2_, &skip_;
};

class SmallResNet : public Module {
 public:
  explicit SmallResNet(int64_t classes)
      : block1_(child("block1", Block(3, 16, 2))),
        block2_(child("block2", Block(16, 32, 2))),
        head_(child("head", Linear(32, classes))) {}
  Var forward(const Var& x) override { return head_(global_avg_pool2d(block2_(block1_(x)))); }
  std::string describe() const override { return "SmallResNet"; }

 private:
  Module &block1_, &block2_, &head_;
};

int main() {
  manual_seed(1);
  const Loader loader(make_synthetic({.train = 640, .test = 10}).train, {.batch = 32});
  SmallResNet net(10);
  std::cout << summary(net, {1, 3, 32, 32});
  auto optimizer = optim::over(net.parameters())
                       .precondition(optim::Fop{})
                       .rule(optim::Sgd{.lr = 0.05, .momentum = 0.9})
                       .weight_decay({.rate = 1e-3, .where = optim::is_weight})
                       .build();
  for (int64_t epoch = 0; epoch < 4; ++epoch) {
    double total = 0;
    for (const auto& [images, labels] : loader.epoch(epoch)) {
      optimizer.zero_grad();
      const Var loss = cross_entropy(net(images), labels);
      loss.backward();
      optimizer.step();
      total += loss.item();
    }
    std::cout << "epoch " << epoch << ": loss " << total / static_cast<double>(loader.batches()) << "\n";
  }
  safetensors::save("small_resnet.safetensors", net.state());
  SmallResNet copy(10);
  copy.load(safetensors::load("small_resnet.safetensors").tensors);
}
