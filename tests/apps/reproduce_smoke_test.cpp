// Every experiment at smoke scale, from the trainings to the plots.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "tests/apps/program.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

TEST_CASE("all experiments run at smoke scale without data, say so, and write all their files") {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  const ScopedVariable cache("GRADUS_CACHE", folder / "cache"), data("GRADUS_DATA", folder / "nowhere");
  const Program::Result result =
      run_program("apps/reproduce/reproduce", {"all", "--scale", "smoke", "--out", folder / "results"});
  CAPTURE(result.err);
  REQUIRE(result.exit_code == 0);
  const bool plots = result.err.find("there is no gnuplot") == std::string::npos;
  const std::string index = read_file(folder / "results/index.html");
  const bool walker = !contains(run_program("apps/reproduce/reproduce", {"--list"}).out, "needs the walker");
  std::vector<std::string> names{
      "figure_1",           "table_cifar10",     "table_imagenet", "figure_3a",     "figure_3b",        "figure_5",
      "figure_5_direction", "figure_a1",         "figure_a2",      "hesscale_cost", "hesscale_quality", "theorem_1",
      "theorem_2",          "hesscale_training", "regularization", "conditioning",  "baseline_cifar10"};
  if (walker) names.insert(names.end(), {"figure_4a", "figure_4b", "walker_adam", "hesscale_walker"});
  for (const std::string& name : names) {
    CAPTURE(name);
    const fs::path results = folder / ("results/" + name);
    const auto manifest = nlohmann::json::parse(read_file((results / "manifest.json").string()));
    const std::string table = read_file((results / "table.md").string()), title = manifest.at("title");
    CHECK(table.starts_with("# " + title + "\n\n| "));
    if (name.starts_with("figure_1") || name.starts_with("theorem")) {
      CHECK(title.find("the same at every scale") != std::string::npos);
    } else {
      CHECK(title.find("smoke scale") != std::string::npos);
    }
    if (!name.starts_with("figure_1") && !name.starts_with("theorem") && name != "hesscale_cost") {
      CHECK(!manifest.at("trainings").empty());
      const bool images = !contains(name, "walker") && !name.starts_with("figure_4");
      CHECK((title.find("synthetic") != std::string::npos) == images);
      if (images) CHECK(manifest.at("train_md5").get<std::string>().size() == 32);
    }
    CHECK(index.find(name + "/table.md") != std::string::npos);
    int tables = 0, scripts = 0;
    for (const auto& entry : fs::directory_iterator(results)) {
      CAPTURE(entry.path().string());
      CHECK(fs::file_size(entry) > 0);
      if (entry.path().extension() == ".csv") ++tables;
      if (entry.path().extension() != ".gp") continue;
      ++scripts;
      const std::string script = read_file(entry.path().string());
      CHECK(script.find(nlohmann::json(title).dump().substr(1, 20)) != std::string::npos);
      for (const char* format : {".svg", ".png"})
        CHECK(fs::exists(results / (entry.path().stem().string() + format)) == plots);
    }
    CHECK(tables >= 2);  // timing.csv and another
    CHECK(scripts >= 1);
  }
}
