// Stands in for walker.cpp in builds without Box2D or giflib.
#include "apps/bench/benchmarks.h"
#include "core/error.h"

namespace gradus::apps::bench {

std::function<void()> add_walker(CommandLine&) {
  return [] {
    fail(ErrorKind::backend, "bench walker",
         "this build has no walker: install libbox2d-dev and libgif-dev, then configure with -Drl=enabled");
  };
}

}  // namespace gradus::apps::bench
