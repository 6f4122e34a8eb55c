// The file of convolution plans.
#include "core/cuda/plan_file.h"

#include <doctest/doctest.h>

#include "tests/data/temporary_folder.h"

using namespace gradus;
using gradus::cuda::PlanFile;

TEST_CASE("a file of plans begins as no file, keeps engines in order of problems, and takes a new one's place") {
  const TemporaryFolder folder;
  const std::string path = folder / "plans.json";
  PlanFile file(path);
  CHECK(file.find("b") == "");
  file.add("b", "engine 1");
  file.add("a", "engine 2 (5=1)");
  file.add("b", "engine 3");
  CHECK(file.find("b") == "engine 3");
  CHECK(read_file(path) == "{\n  \"a\": \"engine 2 (5=1)\",\n  \"b\": \"engine 3\"\n}\n");
  CHECK(PlanFile(path).find("a") == "engine 2 (5=1)");
}

TEST_CASE("programs that write one file of plans at once lose none of each other's") {
  const TemporaryFolder folder;
  const std::string path = folder / "plans.json";
  PlanFile first(path), second(path);
  first.add("a", "engine 1");
  second.add("b", "engine 2");
  first.add("c", "engine 3");
  const PlanFile later(path);
  CHECK(later.find("a") == "engine 1");
  CHECK(later.find("b") == "engine 2");
  CHECK(later.find("c") == "engine 3");
}

TEST_CASE("a file that holds no plans is named, and stays as it is") {
  const TemporaryFolder folder;
  const std::string path = folder / "plans.json", line = "[plans] " + path +
                                                         " is no file of convolution plans; name another file, which "
                                                         "may be new";
  PlanFile file(path);
  folder.write("plans.json", "[1]");
  CHECK_THROWS_WITH_AS(PlanFile{path}, line.c_str(), Error);
  CHECK_THROWS_WITH_AS(file.add("a", "engine 1"), line.c_str(), Error);
  CHECK(read_file(path) == "[1]");
  folder.write("plans.json", "{\"a\": 7}");
  CHECK(PlanFile(path).find("a") == "");
}
