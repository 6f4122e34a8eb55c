// From a folder of pictures, one subfolder per class, to a trained network, and to the class of a new picture.
#include <gradus.h>
#include <cstdio>
#include <filesystem>
#include <fstream>

using namespace gradus;

/// Stands for a camera: a picture of noise, brighter in one channel.
void take_picture(const std::string& path, int bright, uint64_t number) {
  std::filesystem::create_directories(std::filesystem::absolute(path).parent_path());
  Generator noise(number);
  std::ofstream file(path, std::ios::binary);
  file << "P6 60 40 255\n";
  for (int i = 0; i < 60 * 40 * 3; ++i) file << static_cast<char>(noise.below(150) + (i % 3 == bright ? 100 : 0));
}

int main() {
  for (uint64_t i = 0; i < 16; ++i) {
    take_picture("pictures/tomato/" + std::to_string(i) + ".ppm", 0, i);
    take_picture("pictures/cucumber/" + std::to_string(i) + ".ppm", 1, 100 + i);
  }

  PhotoSet train = read_photo_folder("pictures").train;
  const PhotoSet test = hold_out(train, 0.25);
  const Loader batches(std::make_shared<PhotoSource>(train, PhotoOptions{.size = 32, .augment = true}),
                       {.batch = 8, .workers = 1});
  manual_seed(1);
  ResNet net = resnet18(static_cast<int64_t>(train.class_names().size()), {.stem = ResNetStem::cifar});
  auto optimizer =
      optim::over(net.parameters()).precondition(optim::Fop{}).rule(optim::Sgd{.lr = 0.01, .momentum = 0.9}).build();
  for (int64_t epoch = 0; epoch < 3; ++epoch)
    for (const auto& [images, labels] : batches.epoch(epoch)) {
      optimizer.zero_grad();
      const Var loss = cross_entropy(net(images), labels);
      loss.backward();
      optimizer.step();
    }

  // Predictions: the middle of each picture, in evaluation mode, without gradients.
  net.eval();
  const NoGrad no_grad;
  const auto classes_of = [&](const PhotoSet& photos) {
    const Loader all(std::make_shared<PhotoSource>(photos, PhotoOptions{.size = 32}), {.batch = 64, .shuffle = false});
    return argmax(net(all.epoch(0).next()->images).value(), 1).to_vector<int64_t>();
  };
  int64_t right = 0;
  const std::vector<int64_t> found = classes_of(test);
  for (int64_t i = 0; i < test.size(); ++i) right += found[static_cast<size_t>(i)] == test.label(i);
  std::printf("%d of %d right\n", int(right), int(test.size()));
  take_picture("new.ppm", 0, 999);
  const int64_t one = classes_of(photo_files({"new.ppm"}, train.class_names()))[0];
  std::printf("new.ppm: %s\n", train.class_names()[static_cast<size_t>(one)].c_str());
}
