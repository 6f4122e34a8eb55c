// Stands in for walker_train and walker_watch in builds without Box2D or giflib.
#include "apps/common/command_line.h"

int main() {
  gradus::apps::note("this build has no walker: install libbox2d-dev and libgif-dev, then configure with -Drl=enabled");
  return 1;
}
