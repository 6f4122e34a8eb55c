// Files for other programs: a small training that TensorBoard shows, its model as ONNX, and what onnxruntime should
// say.
//
//   tensorboard --logdir run
//   python3 -c "import numpy, onnxruntime
//   net = onnxruntime.InferenceSession('net.onnx')
//   print(abs(net.run(None, {'image': numpy.load('image.npy')})[0] - numpy.load('logits.npy')).max())"
#include <gradus.h>
#include <iostream>

using namespace gradus;

int main() {
  manual_seed(1);
  const Loader batches(make_synthetic({.train = 320, .test = 10}).train, {.batch = 32});
  Sequential net(Conv2d(3, 8, {.kernel = 3, .stride = 2, .bias = false}), BatchNorm2d(8), ReLU(), GlobalAvgPool2d(),
                 Linear(8, 10));
  auto optimizer = optim::over(net.parameters()).rule(optim::Adam{.lr = 1e-2}).build();

  EventWriter events("run");
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    for (const auto& [images, labels] : batches.epoch(epoch)) {
      optimizer.zero_grad();
      const Var loss = cross_entropy(net(images), labels);
      loss.backward();
      optimizer.step();
      events.scalar("train/loss", loss.item(), optimizer.steps());
    }
    for (const Parameter& p : net.parameters()) events.histogram(p.name(), p.value(), optimizer.steps());
  }
  std::cout << "written: " << events.path() << "\n";

  safetensors::save("net.safetensors", net.state());
  export_onnx("net.onnx", net, {1, 3, 32, 32}, {.input = "image", .output = "logits"});
  net.eval();
  const Batch batch = *batches.epoch(0).next();
  save_npy("image.npy", batch.images);
  save_npy("logits.npy", net(batch.images).value());
  std::cout << "logits " << load_npy("logits.npy").shape() << "\n";
}
