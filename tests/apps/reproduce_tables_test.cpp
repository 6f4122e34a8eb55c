// The tables and notes that reproduce makes of finished trainings, which the tests change in the ledger.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/apps/reproduced.h"

namespace gradus::reproduce_tables_test {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

constexpr const char* program = "apps/reproduce/reproduce";

}  // namespace

TEST_CASE(
    "a table's time is per step taken, of as many threads, and its counts are of the first training that counted") {
  const NoData none;
  const std::string out = none.folder / "out";
  const auto call = [&] {
    const Program::Result result =
        run_program(program, {"table_cifar10", "--scale", "smoke", "--seeds", "2", "--out", out, "--json"});
    CAPTURE(result.err);
    REQUIRE(result.exit_code == 0);
    return rows_by("method", result.out);
  };
  const auto note = [&] { return read_file(out + "/table_cifar10/table.md"); };
  call();
  CHECK(contains(note(), "Where the paper is silent: weight decay 0.001 of weights, coupled; no augmentation."));
  CHECK(!contains(note(), "diverged"));
  CHECK(!contains(note(), "Time is not compared"));
  const size_t trainings = ledger_of(out).size();
  // Momentum takes a second a step; S-HD as well, but seed 0 ended after one step of its four; the others stand for
  // rows that cannot be compared.
  edit_ledger(out, [](const nlohmann::json& settings, nlohmann::json& outcome) {
    const std::string learned = settings.at("preconditioner");
    outcome["seconds"] = 4;
    outcome["threads"] = learned == "fop-norm" ? 7 : 1;
    if (settings.at("seed") != 0 || (learned != "s-hd" && learned != "pp-hd")) return;
    outcome["seconds"] = 1;
    outcome["diverged"] = "the loss is not finite";
    outcome["values"]["final_accuracy"] = 0.1;
    outcome["values"].erase("paper_parameters");
    outcome["values"].erase("stored_parameters");
    outcome["steps"] = 1;
    if (learned == "pp-hd") outcome.erase("steps");  // as results of the first version
  });
  auto rows = call();
  CHECK(ledger_of(out).size() == trainings);
  CHECK(rows["S-HD"].at("measured") == "0.0 %");
  CHECK(rows["S-HD"].at("counted so") == "9");
  CHECK(rows["S-HD"].at("stored") == "9");
  CHECK(contains(rows["S-HD"].at("verdict"), ", 1 diverged"));
  CHECK(rows["PP-HD"].at("measured") == "-");
  CHECK(rows["FOP-norm"].at("measured") == "-");
  CHECK(rows["FOP"].at("measured") == "0.0 %");
  CHECK(contains(note(), "Time is not compared across numbers of threads: the baseline ran with 1; FOP-norm with 7."));
  CHECK(contains(note(), "A training that diverged counts as a guess, 10 %."));
  CHECK(contains(read_file(out + "/table_cifar10/timing.csv"), "\"pp-hd, seed 0\",1,not counted,1"));
  // Results of the first version do not name their machine.
  edit_ledger(out, [](const nlohmann::json& settings, nlohmann::json& outcome) {
    const std::string learned = settings.at("preconditioner");
    outcome["threads"] = 1;
    outcome["machine"] = learned == "fop-norm" ? "a quicker one" : "a slow one";
    if (learned == "fop" || learned == "s-hd") outcome.erase("machine");
  });
  rows = call();
  CHECK(rows["FOP-norm"].at("measured") == "-");
  CHECK(rows["FOP"].at("measured") == "-");
  CHECK(contains(note(),
                 "Time is not compared across machines or numbers of threads: the baseline ran with 1 on a slow "
                 "one; S-HD with 1 on an unknown machine; FOP-norm with 1 on a quicker one; FOP with 1 on"));
  CHECK(contains(read_file(out + "/table_cifar10/timing.csv"), "\"fop, seed 1\",4,4,1,not recorded"));
  // And all of them on one that nobody knows are on the same.
  edit_ledger(out, [](const nlohmann::json&, nlohmann::json& outcome) { outcome.erase("machine"); });
  CHECK(call()["FOP"].at("measured") == "0.0 %");
  CHECK(!contains(note(), "Time is not compared"));
}

TEST_CASE("a gain that is not finite is left out of momentum's control, which is said") {
  const NoData none;
  const std::string out = none.folder / "out";
  const auto note_with = [&](int lost) {
    const auto call = [&] {
      const Words words{"table_cifar10", "--scale", "smoke", "--seeds", "2", "--out", out};
      REQUIRE(run_program(program, words).exit_code == 0);
    };
    if (!fs::exists(out)) call();
    edit_ledger(out, [&](const nlohmann::json& settings, nlohmann::json& outcome) {
      if (settings.at("preconditioner") == "fop" && !settings.contains("acts_on") && settings.at("seed") < lost)
        outcome["values"]["gain"] = nullptr;
    });
    call();
    return read_file(out + "/table_cifar10/table.md");
  };
  CHECK(contains(note_with(0), "over the second half of the FOP runs. "));
  CHECK(contains(note_with(1), "over the second half of the FOP runs, but for 1 where it is not a finite number. "));
  CHECK(contains(note_with(2), "No FOP run has a gain |P g| / |g|, so there is no step of FOP's"));
}

TEST_CASE("a single seed gives no verdict, and ranks that end equal are in no order") {
  const NoData none;
  const std::string out = none.folder / "out";
  const auto table = [&](const std::string& name, const char* seeds) {
    const Words words{name, "--scale", "smoke", "--seeds", seeds, "--out", out};
    REQUIRE(run_program(program, words).exit_code == 0);
    return read_file(out + "/" + name + "/table.md");
  };
  const std::string penalties = table("regularization", "1");
  CHECK(contains(penalties, "| no verdict of one seed"));
  for (const char* claim : {"above none", "below none", "not told from none"}) CHECK(!contains(penalties, claim));
  table("figure_a2", "2");
  edit_ledger(out, [](const nlohmann::json&, nlohmann::json& outcome) {
    if (outcome["values"].contains("final_accuracy")) outcome["values"]["final_accuracy"] = 0.5;
  });
  const std::string ranks = table("figure_a2", "2");
  CHECK(contains(ranks, "The paper's ordering, a larger rank is better, does not hold"));
  CHECK(contains(ranks, "not told from momentum, not told from its control"));
  CHECK(contains(table("figure_a2", "1"), "| no verdict of one seed"));
}

TEST_CASE("notes say what decides where the paper is silent, and as what a training that diverged counts") {
  const NoData none;
  const std::string out = none.folder / "out";
  const auto check = [&](const std::string& name, const std::string& recipe) {
    CAPTURE(name);
    const auto table = [&] {
      REQUIRE(run_program(program, {name, "--scale", "smoke", "--seeds", "1", "--out", out}).exit_code == 0);
      return read_file(out + "/" + name + "/table.md");
    };
    const std::string before = table();
    CHECK(contains(before, recipe));
    CHECK(!contains(before, "diverged"));
    bool lost = false;
    edit_ledger(out, [&](const nlohmann::json& settings, nlohmann::json& outcome) {
      if (lost || settings.at("seed") != 0) return;
      lost = true;
      outcome["diverged"] = "the loss is not finite";
      outcome["values"]["final_accuracy"] = 0.125;
    });
    const std::string after = table();
    CAPTURE(after);
    CHECK(contains(after, "A training that diverged counts as a guess, 12.5 %."));
    CHECK((contains(after, "1 diverged") || contains(after, "diverged: 1 without, 0 with FOP") ||
           contains(after, "diverged: 0 without, 1 with FOP")));
    fs::remove_all(out);
  };
  const char *cifar = "Where the paper is silent: weight decay 0.001 of weights, coupled; no augmentation.",
             *mnist =
                 "Where the paper is silent: learning rate 0.001, batch 64, ReLU, hypergradients by Adam with 1e-06.";
  check("figure_a2", mnist);
  check("figure_3b", cifar);
  check("hesscale_training", "training images, 1 epochs, 1 seed)");
  REQUIRE(run_program(program, {"figure_a1", "--scale", "smoke", "--seeds", "1", "--out", out}).exit_code == 0);
  CHECK(contains(read_file(out + "/figure_a1/table.md"), mnist));
}

TEST_CASE(
    "regularization and conditioning count the trainings that diverged; kappas are of seed 0, over so many images") {
  const NoData none;
  const std::string out = none.folder / "out";
  const auto table = [&](const std::string& name) {
    REQUIRE(run_program(program, {name, "--scale", "smoke", "--seeds", "2", "--out", out}).exit_code == 0);
    return read_file(out + "/" + name + "/table.md");
  };
  for (const std::string name : {"regularization", "conditioning"}) {
    CAPTURE(name);
    CHECK(!contains(table(name), "diverged"));
    edit_ledger(out, [&](const nlohmann::json& settings, nlohmann::json& outcome) {
      if (settings.contains("seed") && settings.at("seed") == 1) outcome["diverged"] = "the loss is not finite";
    });
    const std::string text = table(name);
    CHECK(contains(text, ", 1 diverged"));
    CHECK(contains(text, "counts with the loss and accuracy of its last finite look"));
  }
  const std::string text = table("conditioning");
  CHECK(contains(text, "| kappa, layer 1 (seed 0) | kappa, layer 2 (seed 0) |"));
  CHECK(contains(text, "the input of a layer over 100 images after the training with seed 0"));
  CHECK(contains(text, "where its kappa is below 0.9 times the plain network's"));
  const auto manifest = nlohmann::json::parse(read_file(out + "/conditioning/manifest.json"));
  CHECK(manifest.at("also_train_md5").get<std::string>().size() == 32);
  CHECK(manifest.at("also_train_md5") != manifest.at("train_md5"));
  // A layer is better conditioned by a margin alone.
  const auto with_kappa = [&](double kappa) {
    edit_ledger(out, [&](const nlohmann::json& settings, nlohmann::json& outcome) {
      if (settings.value("condition_numbers", false))
        for (auto& value : outcome["series"]["kappa"]["rows"][0])
          value = settings.at("method") == "plain" ? 100.0 : kappa;
    });
    return table("conditioning");
  };
  CHECK(contains(with_kappa(95), "better conditioned in 0 of 3 layers"));
  CHECK(contains(with_kappa(85), "better conditioned in every layer"));
  // The plain network diverges at every rate.
  edit_ledger(out, [](const nlohmann::json& settings, nlohmann::json& outcome) {
    if (settings.value("task", "") == "conditioning" && settings.at("method") == "plain")
      outcome["diverged"] = "the loss is not finite";
  });
  const std::string alone = table("conditioning");
  CHECK(contains(alone, "diverges at every rate"));
  CHECK(contains(alone, "no plain network to compare with"));
  CHECK(!contains(alone, "better conditioned in"));
}

TEST_CASE("figure_5 trains one seed, and shows no plots where no matrix was ever measured") {
  const NoData none;
  const std::string out = none.folder / "out";
  const auto table = [&] {
    REQUIRE(run_program(program, {"figure_5", "--scale", "smoke", "--seeds", "3", "--out", out}).exit_code == 0);
    return read_file(out + "/figure_5/table.md");
  };
  CHECK(contains(table(), "One seed is all there is, whatever --seeds says"));
  CHECK(ledger_of(out).size() == 1);
  CHECK(contains(read_file(out + "/figure_5/table.md"), "weight decay 0.001 of weights, coupled"));
  CHECK(fs::exists(out + "/figure_5/heat_maps.gp"));
  // gnuplot counts a run of rows at a time, which NaN would end.
  CHECK(contains(read_file(out + "/figure_5/histograms.gp"), "\nset datafile missing NaN\n"));
  CHECK(contains(read_file(out + "/figure_5/table.md"), "no structure to speak of"));
  fs::remove_all(out + "/figure_5");
  edit_ledger(out, [&](const nlohmann::json&, nlohmann::json& outcome) {
    outcome["diverged"] = "the loss is not finite";
    for (const char* layer : {"1", "2", "3", "4", "5", "6", "7"})
      outcome["series"].erase(std::string("P conv") + layer);
  });
  CHECK(contains(table(), "The training diverged"));
  CHECK(!fs::exists(out + "/figure_5/heat_maps.gp"));
}

TEST_CASE("figure_3a's verdicts are those of intervals, or of one seed, which is said, and white is no difference") {
  const NoData none;
  const auto call = [&](const std::string& out, const char* seeds) {
    const Program::Result result =
        run_program(program, {"figure_3a", "--scale", "smoke", "--out", out, "--seeds", seeds});
    REQUIRE(result.exit_code == 0);
    return read_file(out + "/figure_3a/table.md");
  };
  const std::string one = none.folder / "one", two = none.folder / "two";
  const std::string table = call(one, "1");
  CHECK(contains(table, "A single seed has no interval"));
  CHECK(contains(table, "the choice of the 20 test images"));
  CHECK(contains(table, "With FOP this seed ends higher in "));
  CHECK(contains(table, "| no verdict of one seed"));
  CHECK(!contains(table, "FOP is better"));
  double largest = 0;
  const Words rows = lines_of(read_file(one + "/figure_3a/accuracies.csv"));
  for (size_t i = 1; i < rows.size(); ++i) {
    std::vector<double> values;
    for (size_t at = 0; at < rows[i].size(); at = rows[i].find(',', at) + 1) {
      values.push_back(std::stod(rows[i].substr(at)));
      if (rows[i].find(',', at) == std::string::npos) break;
    }
    largest = std::max(largest, std::abs(values.at(4)));
  }
  const std::string script = read_file(one + "/figure_3a/heat_maps.gp");
  const size_t at = script.find("set cbrange [-");
  REQUIRE(at != script.npos);
  CHECK(std::stod(script.substr(at + 14)) == doctest::Approx(largest > 0 ? largest : 1));
  CHECK(!contains(call(two, "2"), "one seed"));
}

}  // namespace gradus::reproduce_tables_test
