// The program bench: what it says of another program's rate, and of its own.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/apps/program.h"
#include "tests/data/temporary_folder.h"

namespace gradus {
namespace {

Program::Result bench_loader(std::vector<std::string> more) {
  more.insert(more.begin(), {"loader", "--rounds", "1", "--images", "10", "--batch", "1000", "--json"});
  return run_program("apps/bench/bench", more);
}

TEST_CASE("bench refuses another program's rate that is no positive number, and names the flag and the command") {
  for (const char* command :
       {R"(echo '{"images_per_s": null}')", R"(echo '{"images_per_s": 0}')", "echo no", "false"}) {
    const Program::Result result = bench_loader({"--against", command});
    CHECK(result.exit_code == 1);
    CHECK(lines_of(result.err).size() == 1);
    CHECK(contains(result.err, "[--against] "));
    CHECK(contains(result.err, command));
  }
  const Program::Result good = bench_loader({"--against", R"(echo '{"images_per_s": 2}')"});
  CHECK(good.exit_code == 0);
  CHECK(nlohmann::json::parse(good.out).at("against_images_per_s") == 2);
}

TEST_CASE("bench loader takes a step for the images that there are, not for those of a batch that they do not fill") {
  const auto row = nlohmann::json::parse(bench_loader({}).out);
  const double rate = row.at("images_per_s").get<double>();
  CHECK(row.at("step_ms").get<double>() == doctest::Approx(1e3 * 10 / rate));
}

TEST_CASE("bench ops sets each operation beside another program's of the same name") {
  const auto ops = [](const char* only, const char* against) {
    return run_program("apps/bench/bench", {"ops", "--only", only, "--rounds", "1", "--json", "--against", against});
  };
  const Program::Result result = ops("gather", R"(echo '{"gather": 1e9, "gather, with gradients": 2e9}')");
  REQUIRE(result.exit_code == 0);
  const auto row = nlohmann::json::parse(result.out);
  CHECK(row.at("operation") == "gather");
  CHECK(row.at("ratio").get<double>() == doctest::Approx(1e9 / row.at("us").get<double>()));
  CHECK(row.at("with_gradients_ratio").get<double>() ==
        doctest::Approx(2e9 / row.at("with_gradients_us").get<double>()));
  CHECK(contains(ops("gather", "echo '{}'").err, "'echo '{}'' is no JSON object with positive numbers"));
  CHECK(ops("no such", "true").exit_code == 2);
}

TEST_CASE("bench train-step tells the time beyond another preconditioner's, where one is named") {
  const auto step = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"train-step", "--model", "mlp", "--side", "4", "--batch", "2", "--rounds", "3",
                               "--steps", "1", "--json", "--preconditioner", "fop-norm"});
    const Program::Result result = run_program("apps/bench/bench", more);
    REQUIRE(result.exit_code == 0);
    return nlohmann::json::parse(result.out);
  };
  CHECK_FALSE(step({}).contains("extra_time"));
  const auto row = step({"--beside", "none"});
  CHECK(row.at("preconditioner") == "fop-norm");
  CHECK(row.at("beside") == "none");
  const double extra = row.at("extra_time").get<double>(), least = row.at("extra_time_min").get<double>();
  CHECK(least <= extra);
  CHECK(extra <= row.at("extra_time_max").get<double>());
  CHECK(least != row.at("extra_time_max").get<double>());  // of three rounds
  CHECK(run_program("apps/bench/bench", {"train-step", "--beside", "nothing"}).exit_code == 2);
}

}  // namespace
}  // namespace gradus
