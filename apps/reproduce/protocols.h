// The protocols of the paper's supervised experiments, from which every training of theirs is made.
#pragma once

#include <string>
#include <vector>

#include "apps/reproduce/context.h"

namespace gradus::reproduce {

/// Section 4.1: All-CNN-C on CIFAR-10, momentum 0.9, learning rate 0.05 divided by 10 after epoch 80 of 150, batch 128;
/// hypergradients by Adam with 1e-4. Where the paper is silent: dropout as the network's authors, weight decay 0.001 of
/// weights, coupled, no augmentation. Smaller batches take the paper's learning rates in proportion.
struct CifarSize {
  static constexpr int64_t paper_batch = 128;
  int64_t train = 50000, test = 10000, epochs = 150, batch = paper_batch;
  int64_t drop_after = 80;  ///< epochs
  bool dropout = true;      ///< in a short training it would only keep the network at chance
  std::string text() const;
  /// For the note: what decides its trainings where the paper is silent.
  std::string recipe() const;
  double rate(double paper_rate) const;
};
/// `preconditioner` as cifar10_train takes it.
Run cifar_run(const CifarSize& size, const std::string& preconditioner, uint64_t seed);

/// Section 4.2: ResNet-18 on ImageNet with a projection in every stage, momentum 0.9, learning rate 0.1 divided by 10
/// after epochs 25 and 50 of 60, batch 256. FOP leaves out the classifier, which S-HD and PP-HD have (by the paper's
/// counts). Images of 299 pixels. Where the paper is silent: random resized crops and flips, weight decay 0.0001 of
/// weights, coupled. Smaller batches take the learning rate in proportion.
struct ImagenetSize {
  static constexpr int64_t paper_batch = 256;
  int64_t train = 0, test = 0;  ///< images; 0: all
  int64_t epochs = 60, batch = paper_batch, image_size = 299;
  std::string drop_after = "25,50";  ///< epochs
  std::string text() const;
  std::string recipe() const;
};
Run imagenet_run(const ImagenetSize& size, const std::string& preconditioner, uint64_t seed);

/// Appendix A.4: a perceptron of four layers on MNIST, three hidden ones of 100 units, 20,000 steps with momentum 0.9;
/// P = I + M M^T. Where the paper is silent: ReLU, batch 64, and M from noise of standard deviation 3.5 / sqrt(inputs),
/// which gives the angles of its Figure A.1. Such a P makes steps about 13 times longer: with learning rate 0.01 all
/// units are dead after 400 steps, so it is 0.001. The published angles stay where they begin, so M moves little:
/// hypergradients by Adam with 1e-6. With 1e-4 the first layer's P grows a hundredfold in 2,500 steps, and the accuracy
/// falls.
struct MnistSize {
  int64_t train = 60000, test = 10000, steps = 20000;
  std::string text() const;
  std::string recipe() const;
};
Run mnist_run(const MnistSize& size, const std::string& preconditioner, int64_t rank, uint64_t seed);
inline constexpr double mnist_gain = 3.5;

/// One value of each training, times a factor.
std::vector<double> values_of(const Context& context, const std::vector<Run>& runs, const std::string& value,
                              double factor = 1);

/// How many of the trainings diverged.
int64_t count_diverged(const Context& context, const std::vector<Run>& runs);
/// For the note: as which accuracy a training that diverged counts, with a blank before; empty where none did.
std::string about_diverged(const Context& context, const std::vector<Run>& runs);
/// "2 diverged" at the end of a verdict, or alone; the verdict as it is where the count is 0.
std::string with_diverged(const std::string& verdict, int64_t count);

/// One curve of several trainings: mean, lowest and highest over them at every step of the series. Trainings that ended
/// early count as long as they go, and a value that is not there, such as the angle of a gradient of zero, does not.
std::vector<apps::Record> band(const Context& context, const std::vector<Run>& runs, const std::string& series,
                               const std::string& column, const apps::Record& labels, double factor = 1);

}  // namespace gradus::reproduce
