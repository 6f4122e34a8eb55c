// The program bench: what it says of another program's rate, and of its own.
#include <doctest/doctest.h>
#include <sched.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "core/accelerator.h"
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

TEST_CASE("another program gets the cores that bench was given, neither OpenMP's one nor all") {
  cpu_set_t all, one;
  REQUIRE(sched_getaffinity(0, sizeof all, &all) == 0);
  CPU_ZERO(&one);
  for (int core = 0; core < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++core)
    if (CPU_ISSET(core, &all)) CPU_SET(core, &one);
  const auto cores = [] {
    const Program::Result result =
        bench_loader({"--against", R"(echo "{\"images_per_s\": $(env -u OMP_NUM_THREADS nproc)}")"});
    REQUIRE(result.exit_code == 0);
    return nlohmann::json::parse(result.out).at("against_images_per_s").get<int>();
  };
  const ScopedVariable bound("OMP_PROC_BIND", "true");
  CHECK(cores() == CPU_COUNT(&all));
  sched_setaffinity(0, sizeof one, &one);
  CHECK(cores() == 1);
  sched_setaffinity(0, sizeof all, &all);
}

TEST_CASE("bench says where another program has other threads, and leaves out what it does not tell") {
  const Program::Result other =
      bench_loader({"--threads", "1", "--against", R"(echo '{"images_per_s": 2, "threads": 3}')"});
  CHECK(contains(other.err, "computes with 3 threads, and this program with 1: give both the same number"));
  CHECK(!nlohmann::json::parse(other.out).contains("against_peak_rss_mb"));
  const Program::Result same =
      bench_loader({"--threads", "1", "--against", R"(echo '{"images_per_s": 2, "threads": 1, "peak_rss_mb": 7}')"});
  CHECK(same.err.empty());
  CHECK(nlohmann::json::parse(same.out).at("against_peak_rss_mb") == 7);
}

TEST_CASE("a signal that ends bench ends the other program too") {
  const TemporaryFolder folder;
  const auto appears = [&](const char* name) {
    for (int i = 0; i < 20000 && !std::filesystem::exists(folder / name); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return std::filesystem::exists(folder / name);
  };
  Program running("apps/bench/bench", {"loader", "--images", "10", "--against",
                                       "trap 'touch " + (folder / "ended") + "; exit' TERM; touch " +
                                           (folder / "begun") + "; sleep 60 & wait"});
  REQUIRE(appears("begun"));
  running.signal(SIGTERM);
  CHECK(running.finish().exit_code == 130);
  CHECK(appears("ended"));
}

TEST_CASE("bench notes or refuses flags that have no effect, each once") {
  const auto notes = [](const std::vector<std::string>& words) { return run_program("apps/bench/bench", words); };
  const std::string loader = bench_loader({"--size", "8", "--passes", "2"}).err;
  CHECK(contains(loader, "--size has no effect without --photos"));
  CHECK(contains(loader, "--passes has no effect without --photos"));
  for (const char* command : {"conv", "optimizer"})
    CHECK(contains(notes({command, "--against", "true"}).err, "there is no flag --against"));
  const std::string threads = std::to_string(std::thread::hardware_concurrency() + 1);
  const Program::Result step = notes({"train-step", "--model", "mlp", "--side", "4", "--batch", "2", "--rounds", "1",
                                      "--steps", "1", "--threads", threads, "--tf32"});
  CHECK(contains(step.err, "--threads " + threads + " is more than the "));
  CHECK((device_name() == "cuda" || contains(step.err, "--tf32 has no effect in a build for the CPU")));
  CHECK(lines_of(step.err).size() == (device_name() == "cuda" ? 1 : 2));
}

TEST_CASE("help names a program, not its place") {
  for (const char* program : {"apps/bench/bench", "apps/reproduce/reproduce", "apps/walker_watch"})
    CHECK(!contains(run_program(program, {"--help"}).out, getenv("GRADUS_BUILD_ROOT")));
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
  const Program::Result part = ops("gather", R"(echo '{"gather, with gradients": 2e9}')");
  CHECK(contains(part.err, "has no time of: gather"));
  CHECK(!nlohmann::json::parse(part.out).contains("ratio"));
  const Program::Result table =
      run_program("apps/bench/bench", {"ops", "--only", "gather", "--rounds", "1", "--threads", "1", "--against",
                                       R"(echo '{"gather, with gradients": 2e6}')"});
  REQUIRE(lines_of(table.out).size() == 2);
  std::istringstream row_of_table(lines_of(table.out)[1]);
  const std::vector<std::string> cells{std::istream_iterator<std::string>(row_of_table), {}};
  REQUIRE(cells.size() == 7);  // gather, forward, other, ratio, gradients, other, ratio
  CHECK(cells[2] == "-");
  CHECK(cells[3] == "-");
  CHECK(cells[5] == "2000000.0");
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
