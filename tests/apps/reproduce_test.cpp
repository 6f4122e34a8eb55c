// The program reproduce: what it prints for Figure 1, its files, and its refusals.
#include <doctest/doctest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "core/file.h"
#include "tests/apps/program.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

constexpr const char* program = "apps/reproduce/reproduce";

}  // namespace

TEST_CASE("figure_1 prints the iterations of every method, function and dtype as JSON") {
  const Program::Result result = run_program(program, {"figure_1", "--json"});
  REQUIRE(result.exit_code == 0);
  std::map<std::tuple<std::string, std::string, std::string>, int64_t> iterations;
  for (const std::string& line : lines_of(result.out)) {
    const auto row = nlohmann::json::parse(line);
    iterations[{row.at("function"), row.at("method"), row.at("dtype")}] = row.at("iterations");
    if (row.contains("published") && row.at("dtype") == "float32") CHECK(row.at("published") == row.at("iterations"));
  }
  const std::map<std::tuple<std::string, std::string, std::string>, int64_t> expected{
      {{"booth", "sgd", "float32"}, 832},
      {{"booth", "sgd", "float64"}, 832},
      {{"booth", "fop_direct", "float32"}, 543},
      {{"booth", "fop_direct", "float64"}, 543},
      {{"booth", "adam", "float32"}, 6221},
      {{"booth", "adam", "float64"}, 6221},
      {{"booth", "fop_factor", "float32"}, 536},
      {{"booth", "fop_factor", "float64"}, 536},
      {{"himmelblau", "sgd", "float32"}, 386},
      {{"himmelblau", "sgd", "float64"}, 386},
      {{"himmelblau", "fop_direct", "float32"}, 289},
      {{"himmelblau", "fop_direct", "float64"}, 289},
      {{"himmelblau", "adam", "float32"}, 5398},
      {{"himmelblau", "adam", "float64"}, 5397},
      {{"himmelblau", "fop_factor", "float32"}, 291},
      {{"himmelblau", "fop_factor", "float64"}, 290}};
  CHECK(iterations == expected);
}

TEST_CASE("figure_1 shows a table and leaves the same in files") {
  const TemporaryFolder folder;
  const Program::Result result = run_program(program, {"figure_1", "--out", folder.path().string()});
  REQUIRE(result.exit_code == 0);
  CHECK(result.out.find("booth       fop_direct  float32  543    543       exact") != std::string::npos);
  const std::string table = read_file(folder / "figure_1/table.md");
  CHECK(table.find("| booth      | fop_direct | float32 | 543   | 543      | exact     |") != std::string::npos);
  CHECK(lines_of(read_file(folder / "figure_1/iterations.jsonl")).size() == 16);
}

TEST_CASE("--list names the experiments") {
  const Program::Result result = run_program(program, {"--list"});
  CHECK(result.exit_code == 0);
  CHECK(result.out.starts_with("figure_1  "));
}

TEST_CASE("reproduce refuses what it cannot do in one line") {
  const Program::Result unknown = run_program(program, {"figure_99"});
  CHECK(unknown.exit_code == 2);
  CHECK(unknown.err == "reproduce: no experiment is called 'figure_99'; there are: figure_1\n");
  const Program::Result nothing = run_program(program, {});
  CHECK(nothing.exit_code == 2);
  CHECK(nothing.err == "reproduce: name an experiment, or --list them\n");
  const Program::Result unwritable = run_program(program, {"figure_1", "--out", "/proc/results"});
  CHECK(unwritable.exit_code == 1);
  CHECK(unwritable.out.empty());
  CHECK(lines_of(unwritable.err).size() == 1);
}
