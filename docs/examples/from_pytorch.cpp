// A training loop of one's own, twice: from the beginning, and from a checkpoint amid an epoch, to the same bytes.
#include <gradus.h>
#include <iostream>

using namespace gradus;

int main() {
  const DataSplits data = make_synthetic({.train = 640, .test = 200});
  const Loader train(data.train, {.batch = 32}), test(data.test, {.batch = 100, .shuffle = false});
  std::vector<StateDict> ends;
  for (const bool resumed : {false, true}) {
    Sequential net(Conv2d(3, 16, {.kernel = 3}), BatchNorm2d(16), ReLU(), GlobalAvgPool2d(), Dropout(), Linear(16, 10));
    auto optimizer = optim::over(net.parameters())
                         .rule(optim::AdamW{.lr = 0.01, .weight_decay = 1e-3})
                         .group(std::not_fn(optim::is_weight), {.weight_decay = 0})
                         .schedule(optim::warm_up(10, 0.1, optim::cosine(4 * train.batches() - 10)))
                         .build();
    optim::Ema ema(net.state(), {.decay = 0.9});
    StateDict best = clone(net.state()), all;
    int64_t most = -1, epoch = 0, batch = 0;
    const auto parts = [&]() -> std::map<std::string, StateDict> {
      return {{"net/", net.state()}, {"optimizer/", optimizer.state()}, {"ema/", ema.state()}, {"best/", best}};
    };
    if (resumed) {
      const safetensors::Content file = safetensors::load("checkpoint.safetensors");
      const auto number = [&](const char* name) { return std::stoll(file.metadata.at(name)); };
      auto saved = parts();
      for (auto& [part, state] : saved)
        for (auto& [name, tensor] : state) tensor = file.tensors.at(part + name);
      net.load(saved["net/"]), optimizer.load(saved["optimizer/"]), ema.load(saved["ema/"]), best = saved["best/"];
      epoch = number("epoch"), batch = number("batch"), most = number("right");
    }
    net.seed(1);  // of the dropout
    for (; epoch < 4; ++epoch, batch = 0) {
      for (const auto& [images, labels] : train.epoch(epoch, batch)) {
        net.set_step(uint64_t(optimizer.steps()));
        optimizer.zero_grad();
        cross_entropy(net(images), labels, {.label_smoothing = 0.1}).backward();
        optimizer.step();
        ema.update();
        if (++batch != 10 || epoch != 1) continue;
        for (const auto& [part, state] : parts())
          for (const auto& [name, tensor] : state) all[part + name] = tensor;
        safetensors::save("checkpoint.safetensors", all,
                          {{"epoch", text(epoch)}, {"batch", text(batch)}, {"right", text(most)}});
      }
      const optim::EmaScope averaged(ema);  // until the end of the block
      const EvalScope evaluation(net);
      const NoGrad constants;
      int64_t right = 0;
      for (const auto& [images, labels] : test.epoch(0))
        right += int64_t(sum(cast(equal(argmax(net(images).value(), 1), labels), DType::int64)).item());
      if (right > most) most = right, best = clone(net.state());
      std::cout << "epoch " << epoch << ": " << right << " of " << data.test.size() << " right\n";
    }
    ends.push_back(best);
  }
  for (const auto& [name, tensor] : ends[0])
    if (tensor.to_bytes() != ends[1].at(name).to_bytes()) return 1;
}
