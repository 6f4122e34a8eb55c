// The walker's experiments at smoke scale: their files, and that they go on where they were stopped.
#include <doctest/doctest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "tests/apps/program.h"
#include "tests/data/temporary_folder.h"

namespace gradus::walker_reproduce_test {
namespace {

constexpr const char* program = "apps/reproduce/reproduce";

Program::Result walker_adam(const std::string& out, const std::vector<std::string>& more) {
  std::vector<std::string> words{"walker_adam", "--scale", "smoke", "--out", out};
  words.insert(words.end(), more.begin(), more.end());
  return run_program(program, words);
}

/// What an experiment at smoke scale shows of the trainings in `out`, where it runs those that are missing.
std::string smoke_table(const std::string& experiment, const std::string& out) {
  REQUIRE(run_program(program, {experiment, "--scale", "smoke", "--out", out}).exit_code == 0);
  return read_file(out + "/" + experiment + "/table.md");
}

}  // namespace

TEST_CASE("figure_4a, figure_4b and walker_adam run at smoke scale and show their tables and curves") {
  const TemporaryFolder folder;
  const Program::Result result =
      run_program(program, {"figure_4a", "figure_4b", "walker_adam", "--scale", "smoke", "--out", folder / "results"});
  CAPTURE(result.err);
  REQUIRE(result.exit_code == 0);
  for (const std::string name : {"figure_4a", "figure_4b", "walker_adam"}) {
    CAPTURE(name);
    const std::string results = folder / ("results/" + name + "/");
    const std::vector<std::string> curves = lines_of(read_file(results + "curves.csv"));
    const auto manifest = nlohmann::json::parse(read_file(results + "manifest.json"));
    CHECK(manifest.at("title").get<std::string>().find("smoke scale") != std::string::npos);
    const bool figure = name.starts_with("figure");
    CHECK(curves[0] ==
          (figure ? "optimizer,iteration,median,low,high" : "seed,environment_steps,episode_return,evaluation,best"));
    CHECK(curves.size() == (figure ? 1 + 3 * 2 : 1 + 2));
    CHECK(manifest.at("trainings").size() == (figure ? 6 : 1));
    CHECK(std::filesystem::exists(results + "curves.gp"));
    const std::string table = read_file(results + "table.md");
    for (const char* part : {"fop", "momentum", "adam", "highest"})
      if (figure) CHECK(contains(table, part));
    if (!figure) CHECK(contains(table, "| median"));
  }
}

TEST_CASE("hesscale_walker counts the collapses with scaled steps and without, and reruns nothing") {
  const TemporaryFolder folder;
  const std::string out = folder / "results", results = out + "/hesscale_walker/";
  const auto call = [&] { return run_program(program, {"hesscale_walker", "--scale", "smoke", "--out", out}); };
  REQUIRE(call().exit_code == 0);
  const std::string table = read_file(results + "table.md"), trainings = read_file(results + "trainings.csv");
  for (const char* part : {"2 of 9 learning rates", "| Adam ", "| AdamHesScale ", "| all ", "the reference",
                           "Collapsed: a training that diverged"})
    CHECK(contains(table, part));
  const std::vector<std::string> rows = lines_of(trainings);
  CHECK(rows[0] == "optimizer,lr,seed,diverged,collapsed,best,last,step_scale");
  REQUIRE(rows.size() == 1 + 4);
  CHECK(rows[1].ends_with(",nan"));  // Adam's steps are not scaled
  CHECK(!rows[4].ends_with(",nan"));
  CHECK(lines_of(read_file(results + "shares.csv")).size() == 1 + 4);
  std::map<std::string, std::filesystem::file_time_type> written;
  for (const auto& entry : std::filesystem::directory_iterator(out + "/ledger"))
    written[entry.path().string()] = std::filesystem::last_write_time(entry);
  CHECK(written.size() == 4);
  REQUIRE(call().exit_code == 0);
  for (const auto& [path, time] : written) CHECK(std::filesystem::last_write_time(path) == time);
  CHECK(read_file(results + "trainings.csv") == trainings);
}

TEST_CASE("hesscale_walker counts a training that two learning rates share once, and one that never learned as lost") {
  const TemporaryFolder folder;
  const std::string out = folder / "results";
  const auto table = [&] { return smoke_table("hesscale_walker", out); };
  table();
  for (const auto& entry : std::filesystem::directory_iterator(out + "/ledger")) {
    auto training = nlohmann::json::parse(read_file(entry.path().string()));
    for (auto& row : training["outcome"]["series"]["curve"]["rows"])
      row[3] = training["settings"].contains("step_delta") ? -100.0 : training["settings"]["lr"].get<double>();
    write_file_atomically(entry.path().string(), training.dump());
  }
  const std::string text = table();
  CAPTURE(text);
  CHECK(contains(text, "Of the 2 trainings with AdamHesScale 1 are distinct"));
  CHECK(contains(text, "| 2 of 2, 100 % | 1 of 1, 100 %"));  // of AdamHesScale, all
  CHECK(!contains(text, "trainings with Adam "));
  CHECK(contains(text, "| 0 of 2, 0 %   | 0 of 2, 0 %"));  // of Adam, all
}

TEST_CASE(
    "figure_4a has no interval of two runs, and a run that was lost before its first evaluation counts as a fall") {
  const TemporaryFolder folder;
  const std::string out = folder / "results";
  const auto table = [&] { return smoke_table("figure_4a", out); };
  const std::string before = table();
  CHECK(contains(before, "without an interval, as no resampling of fewer than 5 runs has one of 95 %"));
  CHECK(!contains(before, "intervals apart"));
  CHECK(!contains(before, "A run that diverged"));
  for (const auto& entry : std::filesystem::directory_iterator(out + "/ledger")) {
    auto training = nlohmann::json::parse(read_file(entry.path().string()));
    if (training["settings"].at("optimizer") != "fop") continue;
    if (training["settings"].at("seed") == 0) {
      training["outcome"]["series"] = nlohmann::json::object();
      training["outcome"]["diverged"] = "the loss is not finite";
    } else {
      for (auto& row : training["outcome"]["series"]["curve"]["rows"]) row.back() = 300.0;
    }
    write_file_atomically(entry.path().string(), training.dump());
  }
  const std::string after = table();
  CAPTURE(after);
  CHECK(contains(after, "A run that diverged keeps the best that it had, which is -100 before its first evaluation."));
  CHECK(contains(after, "| 1        | 100.0 "));  // the median of -100 and 300
}

TEST_CASE("hesscale_walker makes no verdict of one training of each") {
  const TemporaryFolder folder;
  const std::string out = folder / "results";
  const auto table = [&] { return smoke_table("hesscale_walker", out); };
  table();
  for (const auto& entry : std::filesystem::directory_iterator(out + "/ledger")) {
    auto training = nlohmann::json::parse(read_file(entry.path().string()));
    const bool scaled = training["settings"].contains("step_delta");
    for (auto& row : training["outcome"]["series"]["curve"]["rows"]) row[3] = scaled ? 200.0 : -100.0;
    write_file_atomically(entry.path().string(), training.dump());
  }
  const std::string text = table();
  CAPTURE(text);
  CHECK(contains(text, "no verdict of one seed"));
  CHECK(contains(text, "not told from Adam"));  // of two, which coincide
  CHECK(!contains(text, "fewer collapses than Adam"));
}

TEST_CASE("inspect shows what the walker's preconditioners have learned, and says where there is none") {
  const TemporaryFolder folder;
  const auto inspect = [&](const std::string& optimizer) {
    const std::string run = folder / optimizer;
    const Program::Result trained =
        run_program("apps/walker_train", {"--optimizer", optimizer, "--steps", "64", "--horizon", "64", "--envs", "1",
                                          "--hidden", "8", "--threads", "1", "--out", run});
    CAPTURE(trained.err);
    REQUIRE(trained.exit_code == 0);
    return run_program(program, {"inspect", run + "/seed-0"});
  };
  for (const char* optimizer : {"fop", "fop-adam", "fop-norm", "s-hd", "pp-hd"}) {
    CAPTURE(optimizer);
    const Program::Result result = inspect(optimizer);
    CAPTURE(result.err);
    CHECK(result.exit_code == 0);
    CHECK(contains(result.out, "\nfc1.weight "));
  }
  CHECK(contains(inspect("adam").err, "has no preconditioner, so there is nothing to see"));
}

TEST_CASE("the walker's experiments refuse mixed precision in one line") {
  const TemporaryFolder folder;
  for (const std::string name : {"figure_4a", "figure_4b", "walker_adam", "hesscale_walker"}) {
    const Program::Result result = run_program(program, {name, "--amp", "bf16", "--out", folder / "out"});
    CHECK(result.exit_code == 2);
    CHECK(contains(result.err, "without mixed precision only: " + name));
  }
}

TEST_CASE("a walker's training whose checkpoint is damaged begins again, which is said") {
  const TemporaryFolder folder;
  REQUIRE(walker_adam(folder / "whole", {}).exit_code == 0);
  REQUIRE(walker_adam(folder / "parts", {"--budget", "1e-9"}).exit_code == 0);
  for (const auto& entry : std::filesystem::directory_iterator(folder / "parts/ledger")) {
    REQUIRE(entry.path().extension() == ".safetensors");
    std::string content = read_file(entry.path().string());
    content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 1);
    folder.write("parts/ledger/" + entry.path().filename().string(), content);
  }
  const Program::Result result = walker_adam(folder / "parts", {});
  REQUIRE(result.exit_code == 0);
  CHECK(contains(result.err, "begins a training again, as its checkpoint is damaged"));
  CHECK(read_file(folder / "whole/walker_adam/curves.csv") == read_file(folder / "parts/walker_adam/curves.csv"));
}

TEST_CASE("a walker's training that the budget stops after every iteration goes on as if nothing had been") {
  const TemporaryFolder folder;
  REQUIRE(walker_adam(folder / "whole", {}).exit_code == 0);
  int calls = 0;
  Program::Result result;
  do {
    result = walker_adam(folder / "parts", {"--budget", "1e-9"});
    REQUIRE(result.exit_code == 0);
    REQUIRE(++calls < 10);
  } while (contains(result.err, "the budget is used up in walker_adam"));
  CHECK(calls == 4);
  CHECK(read_file(folder / "whole/walker_adam/curves.csv") == read_file(folder / "parts/walker_adam/curves.csv"));
  CHECK(read_file(folder / "whole/walker_adam/table.md") == read_file(folder / "parts/walker_adam/table.md"));
}

}  // namespace gradus::walker_reproduce_test
