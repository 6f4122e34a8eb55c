// Trains ResNet-18 or another network on ImageNet, or on any other photographs in folders, with FOP or another
// optimizer: the second half of the FOP paper's Figure 2 (Moskovitz et al. 2019), whose schedule the defaults are.
#include "apps/common/command_line.h"
#include "apps/common/photo_training.h"

using namespace gradus::apps;

namespace {

constexpr const char* program = "imagenet_train";
constexpr const char* examples = R"(Examples:
  imagenet_train --data imagenet --shortcut paper --image-size 299 --out runs/fop --workers 16
      the paper's protocol: 60 epochs of ResNet-18 with FOP, batch 256, learning rate 0.1 dropped after 25 and 50;
      imagenet/ holds train/CLASS/ and val/CLASS/
  imagenet_train --data imagenet --preconditioner none --accumulate 4 --pack 256
      momentum alone, with a quarter of the memory, from photographs that are decoded only once
  imagenet_train --data imagenet-sample.tar --epochs 30 --batch 30 --lr 0.05 --augment none --image-size 64 --json
      a short training on an archive of a few photographs, its results as JSON for another program)";

}  // namespace

int main(int argc, char** argv) {
  CommandLine line(
      "Trains a network on ImageNet or other photographs. The defaults are the FOP paper's protocol, but for the "
      "network and its images: the paper's are --shortcut paper --image-size 299.",
      examples, program);
  PhotoFlags flags;
  flags.epochs = 60;
  flags.batch = 256;
  flags.lr_drop = "25,50";
  flags.add_to(line);
  return run(line, argc, argv, [&] {
    flags.resolve();
    return train_photos(flags, {.name = program, .top5 = true, .hold_out_given = line.given("--hold-out")},
                        flags.without_effect(line));
  });
}
