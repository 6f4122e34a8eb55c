// Builds without Box2D or giflib have programs that say what is missing.
#include <doctest/doctest.h>

#include "tests/apps/program.h"

using namespace gradus;

TEST_CASE("without Box2D the walker's programs name what to install") {
  for (const char* program : {"apps/walker_train", "apps/walker_watch"}) {
    const Program::Result result = run_program(program, {"--help"});
    CHECK(result.exit_code == 1);
    CHECK(result.err.find("install libbox2d-dev and libgif-dev, then configure with -Drl=enabled") !=
          std::string::npos);
  }
  const Program::Result figure = run_program("apps/reproduce/reproduce", {"figure_4a", "--scale", "smoke"});
  CHECK(figure.exit_code == 1);
  CHECK(figure.err.find("libbox2d-dev") != std::string::npos);
  const Program::Result bench = run_program("apps/bench/bench", {"walker"});
  CHECK(bench.exit_code == 1);
  CHECK(bench.err.find("libbox2d-dev") != std::string::npos);
}
