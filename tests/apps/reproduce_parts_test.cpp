// What experiments are made of, without the program: settings, held out images, choices from a grid, a theorem's bound.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "apps/common/checkpoint.h"
#include "apps/reproduce/choices.h"
#include "apps/reproduce/comparison.h"
#include "apps/reproduce/data_sets.h"
#include "apps/reproduce/descent_bound.h"
#include "apps/reproduce/experiment.h"
#include "apps/reproduce/gnuplot.h"
#include "apps/reproduce/inspect.h"
#include "apps/reproduce/ledger.h"
#include "apps/reproduce/outcome.h"
#include "apps/reproduce/protocols.h"
#include "apps/reproduce/report.h"
#include "apps/reproduce/small_training.h"
#include "apps/reproduce/train.h"
#include "autograd/autocast.h"
#include "core/accelerator.h"
#include "core/error.h"
#include "core/file.h"
#include "core/ops.h"
#include "tests/apps/tiny_images.h"
#include "tests/apps/tiny_training.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;
using namespace gradus::reproduce;

TEST_CASE("a table's runs go seed by seed, methods in their order") {
  std::vector<Run> runs;
  for (const char* name : {"momentum", "fop"})
    for (const uint64_t seed : {0, 1}) {
      runs.push_back({.name = name});
      runs.back().flags.seed = seed;
    }
  order_by_seed(runs);
  std::vector<std::string> order;
  for (const Run& run : runs) order.push_back(run.name + " " + std::to_string(run.flags.seed));
  CHECK(order == std::vector<std::string>{"momentum 0", "fop 0", "momentum 1", "fop 1"});
}

TEST_CASE("the settings of a routine say in which precision it ran, and nothing where that is the default") {
  Run run;
  run.routine = [](const Supervision&) { return std::optional<Outcome>(); };
  run.other = {{"task", "a test"}};
  const auto json = [&] { return run.settings({}).json(); };
  // A CPU is the default.
  const std::string device = device_name() == "cpu" ? "" : text(", \"device\": \"", device_name(), "\"");
  const std::string plain = json(), common = "{\"routine\": 1, \"task\": \"a test\"" + device;
  CHECK(plain == common + "}");
  const AcceleratorSettings before = accelerator();
  set_accelerator({.tf32 = true, .fast = true});
  const std::string loose = json();
  set_accelerator(before);
  // Which are no choices of a CPU, and would keep what it has finished from being found.
  CHECK(loose == common + (device_name() == "cpu" ? "}" : ", \"tf32\": true, \"fast\": true}"));
  try {
    const Autocast scope(DType::bfloat16);
    CHECK(json() == common + ", \"amp\": \"bf16\"}");
  } catch (const Error& error) {
    MESSAGE("skipped: ", std::string(error.what()));
  }
}

TEST_CASE("held out images are training images that are not trained on, and settings tell") {
  const TemporaryFolder folder;
  const ScopedVariable cache("GRADUS_CACHE", folder / "cache"), nowhere("GRADUS_DATA", folder / "nowhere");
  const ImageData data = find_images(Images::mnist, {}, true);
  Run run;
  run.images = Images::mnist;
  run.train_samples = 200;
  run.test_samples = 100;
  const std::string tested = run.settings({}).json();
  run.held_out = true;
  CHECK(run.settings({}).json() != tested);
  const auto images_of = [](const Loader& loader) {
    std::set<std::vector<float>> images;
    for (const auto& [batch, labels] : loader.epoch(0))
      for (int64_t i = 0; i < batch.size(0); ++i) images.insert(contiguous(select(batch, 0, i)).to_vector<float>());
    return images;
  };
  std::set<std::vector<float>> trained = images_of(data.loader(run, true)), held = images_of(data.loader(run, false));
  CHECK(trained.size() == 200);
  CHECK(held.size() == 100);
  trained.merge(held);
  CHECK(held.empty());  // none was there already
  run.train_samples = 300;
  CHECK(images_of(data.loader(run, true)) == trained);
}

TEST_CASE("photographs are known by their content, not by where they lie: moved ones find their trainings again") {
  const TemporaryFolder folder;
  for (const char* file : {"train/n01440764/a.ppm", "train/n01443537/b.ppm", "val/n01440764/c.ppm"})
    folder.write(std::string("first/") + file, noisy_picture(16, 3, 0, 1));
  const auto record = [&](const char* name) {
    const ImageData data = find_images(Images::imagenet, {folder / name}, false);
    CHECK(data.name == name);
    return data.record.json();
  };
  const std::string before = record("first");
  std::filesystem::rename(folder / "first", folder / "second");
  CHECK(record("second") == before);
  folder.write("second/train/n01443537/d.ppm", noisy_picture(16, 3, 0, 1));
  CHECK(record("second") != before);
}

TEST_CASE("curves are drawn as lines within bands, dashed ones without, from the rows that count") {
  const std::vector<PlottedCurve> curves{{.name = "FOP's", .color = 3},
                                         {.name = "FOP's, longer", .color = 3, .dashed = true}};
  CHECK(lines_with_bands("curves", curves, {.name = 2, .x = 4, .condition = "column(1) == 7"}) ==
        "of(name, c) = strcol(2) eq name && column(1) == 7 ? column(c) : NaN\n"
        "set style fill transparent solid 0.2 noborder\nplot "
        "'curves.csv' using 4:(of(\"FOP's\", 6)):(of(\"FOP's\", 7)) every ::1 with filledcurves lc 3 notitle, "
        "'curves.csv' using 4:(of(\"FOP's\", 5)) every ::1 with lines lw 2 lc 3 title \"FOP's\", "
        "'curves.csv' using 4:(of(\"FOP's; longer\", 5)) every ::1 with lines dt 2 lc 3 title \"FOP's, longer\"\n");
  // gnuplot would take a comma for the end of the name, within quotes too.
  const TemporaryFolder folder;
  write_csv(folder.path(), "curves", {{{"name", "FOP's, longer"}, {"step", 1.5}}});
  CHECK(read_file(folder / "curves.csv") == "name,step\nFOP's; longer,1.5\n");
  CHECK(contains(lines_with_bands("curves", {std::string("a"), std::string("b")}, {}),
                 "with lines lw 2 lc 2 title \"b\""));
}

TEST_CASE("the paper's protocol for ImageNet has images of 299 pixels") {
  CHECK(imagenet_run({}, "fop", 0).image_size == 299);
}

TEST_CASE("the best accuracy is one that was measured, also where all are worse than a guess") {
  const TemporaryFolder folder;
  const ScopedVariable cache("GRADUS_CACHE", folder / "cache"), nowhere("GRADUS_DATA", folder / "nowhere");
  const ImageData data = find_images(Images::mnist, {}, true);
  Run run = mnist_run({.train = 20, .test = 200, .steps = 2}, "none", 0, 0);
  run.flags.lr = 0;
  double accuracy = 1;
  for (; accuracy >= 0.1 && run.flags.seed < 50; ++run.flags.seed) {
    const std::optional<Outcome> outcome =
        train(run, data, {.checkpoint = folder / "checkpoint", .stop = [] { return false; }, .watch = [](int64_t) {}});
    REQUIRE(outcome.has_value());
    CHECK(outcome->steps == 2);
    accuracy = outcome->at("final_accuracy");
    CHECK(outcome->at("best_accuracy") == accuracy);
  }
  REQUIRE(accuracy < 0.1);
}

TEST_CASE("a small training that diverges keeps no look that is not finite") {
  const TemporaryFolder folder;
  const ScopedVariable cache("GRADUS_CACHE", folder / "cache"), nowhere("GRADUS_DATA", folder / "nowhere");
  const DataSplits data = find_images(Images::mnist, {}, true).splits;
  manual_seed(0);
  Mlp model(28 * 28, 10, {.hidden = {8}});
  optim::Optimizer optimizer = optim::over(model.parameters()).rule(optim::Sgd{.lr = 1e30}).build();
  const auto result =
      train_small({.train = 40, .test = 20, .batch = 10, .steps = 8, .evaluate_every = 1}, data, model, optimizer);
  REQUIRE(result.has_value());
  CHECK(result->diverged);
  REQUIRE(result->looks.size() == 1);
  CHECK(std::isfinite(result->last().train_loss));
}

TEST_CASE("steps that were counted are those taken; where not, all of a training that came to its end") {
  Outcome outcome;
  CHECK(outcome.steps_of(10) == 10);
  outcome.diverged = "the loss is not finite";
  CHECK(!outcome.steps_of(10));
  outcome.steps = 3;
  CHECK(Outcome::parse(outcome.json()).steps_of(10) == 3);
}

TEST_CASE("an outcome keeps its machine; numbers that are not finite read back as not a number") {
  Outcome outcome;
  outcome.values = {{"loss", 0.1}, {"gain", HUGE_VAL}};
  outcome.machine = this_machine();
  CHECK(!outcome.machine.empty());
  CHECK(!contains(outcome.machine, ","));
  const Outcome read = Outcome::parse(outcome.json());
  CHECK(read.machine == outcome.machine);
  CHECK(read.at("loss") == 0.1);
  CHECK(std::isnan(read.at("gain")));
  CHECK(both_machines("A", "A") == "A");
  CHECK(both_machines("A", "B") == "A and B");
  CHECK(both_machines("A and B", "B") == "A and B");
  CHECK(both_machines("", "B").empty());  // what was not recorded stays unknown
}

TEST_CASE("the settings name layers without a matrix where that is not the network's own choice") {
  Run run = imagenet_run({}, "fop", 0);
  const auto named = [&] { return contains(run.settings({}).json(), "without_matrix"); };
  CHECK(!named());
  run.flags.without_matrix = {"fc", "conv1"};
  CHECK(contains(run.settings({}).json(), "\"without_matrix\": \"fc, conv1\""));
  run.flags.preconditioner = "s-hd";  // which has one for every layer
  CHECK(!named());
  CHECK(!contains(mnist_run({}, "fop", 0, 0).settings({}).json(), "without_matrix"));
}

TEST_CASE("a bar within a cell ends it in no table of Markdown, and none of the page of results") {
  const Table table{{"|p|", "n"}, {{"a|b", "1"}}};
  CHECK(table.markdown() == "| \\|p\\| | n |\n| ----- | - |\n| a\\|b  | 1 |\n");
  CHECK(table.plain() == "|p|  n\n---  -\na|b  1\n");
  const TemporaryFolder folder;
  folder.write("a #1/table.md", "# A title\n\n" + table.markdown());
  folder.write("a #1/p.svg", "");
  write_index(folder.path());
  const std::string page = read_file(folder / "index.html");
  CHECK(contains(page, "<tr><th> |p| </th><th> n </th></tr>\n<tr><td> a|b  </td><td> 1 </td></tr>\n</table>"));
  CHECK(contains(page, "<img src=\"a%20%231/p.svg\" alt=\"a #1/p.svg\">"));
  CHECK(contains(page, "<a href=\"a%20%231/table.md\">table.md</a>"));
}

TEST_CASE("a table whose columns share a name is refused, as its rows in JSON would lose one of them") {
  const TemporaryFolder folder;
  const Request request{.data = {}, .out = folder.path().string()};
  const Ledger ledger(request.out);
  const Context context(request, ledger);
  const Experiment experiment{.name = "one", .title = "One"};
  Report report(context, experiment);
  CHECK(report.title() == "One; cpu scale");
  report.table({{"a", "b"}, {}});
  CHECK(contains(error_of([&] {
                   report.table({{"a", "b", "a"}, {}});
                 }),
                 "two columns of a table of one are called 'a'"));
  CHECK(contains(error_of([&] { report.table({{"experiment"}, {}}); }), "are called 'experiment'"));
}

TEST_CASE("theorem 2's rate holds where steps were taken and every gap is finite") {
  RateCheck check;
  CHECK(!check.holds());  // no step
  check.add(1, 0.5, 0.6);
  check.add(0.5, 0.2, 0.5);
  CHECK(check.holds());
  CHECK(check.measured == 0.5);
  CHECK(check.claimed == 0.6);
  RateCheck lost = check;
  lost.add(0.2, std::nan(""), 0.5);
  CHECK(!lost.tells());
  CHECK(!lost.holds());
  check.add(0.2, 0.19, 0.5);
  CHECK(check.tells());
  CHECK(!check.holds());
}

TEST_CASE("a training in the ledger that is damaged names its file, whatever the damage is") {
  const TemporaryFolder folder;
  const Ledger ledger(folder.path());
  Outcome outcome{.values = {}, .series = {}, .diverged = "", .seconds = 1, .threads = 2};
  outcome.add("accuracy", {"step", "loss"}, {1, 0.5});
  ledger.add("key", {{"lr", 0.1}}, outcome);
  CHECK(ledger.find("key")->series.at("accuracy").rows[0][1] == 0.5);
  const std::string valid = read_file(folder / "ledger/key.json");
  const auto refusal = [&](const std::string& from, const std::string& to) {
    std::string damaged = valid;
    damaged.replace(damaged.find(from), from.size(), to);
    folder.write("ledger/key.json", damaged);
    const std::string message = error_of([&] { ledger.find("key"); });
    CHECK(contains(message, (folder / "ledger/key.json") + " is damaged ("));
    return message;
  };
  refusal("{", "");
  refusal("outcome", "income");
  CHECK(contains(refusal("seconds", "minutes"), "there is no \"seconds\""));
  CHECK(contains(refusal("0.5]", "0.5,1]"), "a row has 3 numbers, but there are 2 columns"));
  CHECK(contains(refusal("1.0,0.5", ""), "a row has 0 numbers"));
  // Whole, and without what an experiment asks for.
  folder.write("ledger/key.json", valid);
  const std::string file = folder / "ledger/key.json";
  CHECK(contains(error_of([&] { ledger.find("key")->at("gain"); }),
                 file + ": there is no value gain; there is none. Remove the file"));
  CHECK(contains(error_of([&] { ledger.find("key")->series_at("curve"); }),
                 file + ": there is no series curve; there are accuracy. Remove the file"));
}

TEST_CASE("the order of published values holds where each step of it does, and ties may come out either way") {
  const Method methods[] = {{"a", "", 69.7, 0.1, "", 0}, {"b", "", 69.7, 0.1, "", 0}, {"c", "", 69.9, 0.1, "", 0}};
  CHECK(keeps_order(methods, {69.7, 69.7, 69.9}));
  CHECK(keeps_order(methods, {60, 50, 61}));
  CHECK(keeps_order(methods, {50, 60, 61}));
  CHECK(!keeps_order(methods, {60, 50, 60}));
  CHECK(!keeps_order(methods, {50, 60, 55}));
  CHECK(!keeps_order(methods, {50, std::nan(""), 55}));
}

TEST_CASE("a preconditioner that overflows is an error that names checkpoint and layer") {
  const TemporaryFolder folder;
  apps::TinyTraining training;
  training.epoch();
  apps::Checkpoint checkpoint = apps::checkpoint_of(training.model, training.optimizer, training.state);
  for (auto& [name, tensor] : checkpoint.tensors)
    if (contains(name, "fc1.weight/fop.identity_plus"))
      tensor = Tensor::full(tensor.shape(), 1e30);  // whose square overflows
  apps::write_checkpoint(folder / "checkpoint", checkpoint);
  folder.write("config.json", R"({"preconditioner": "fop", "form": "auto", "rank": 0})");
  CHECK(contains(error_of([&] { inspect({.path = folder / "checkpoint", .out = {}}); }),
                 (folder / "checkpoint") + ": fc1.weight: "));
}

TEST_CASE("a best value at the edge of its grid is named, and one inside is not") {
  const std::vector<double> grid{0.01, 0.1, 1};
  Choices choices;
  choices.add("alone", 1, std::vector<double>{1});
  CHECK(choices.text().empty());
  choices.add("inside", 0.1, grid);
  CHECK(choices.text() == "No best value is at the edge of those tried.");
  choices.add("low", 0.01, grid);
  choices.add("high", 1, grid);
  CHECK(choices.text() ==
        "At the edge of the values tried, so that a better one may lie beyond: low (1.0e-02, the smallest), high "
        "(1.0e+00, the largest).");
}

TEST_CASE("theorem 1's bound holds where it was checked, not where P never comes within 1 / L") {
  // R = 1 and c = 0.5: at most 4 / k.
  const Course good{{3, 3.9, 1.9}, {0.5, 0.5, 0.5}, {1, 1, 1}, {1, 1, 1}};
  CHECK(check_descent(good, 1).checked == 2);
  CHECK(check_descent(good, 1).holds());
  Course bad = good;
  bad.gaps[2] = 2.1;
  CHECK(!check_descent(bad, 1).holds());
  Course late = bad;
  late.highest[0] = 1.5;  // from step 1 on, so step 2 is the first: 2.1 <= 4
  CHECK(check_descent(late, 1).from == 1);
  CHECK(check_descent(late, 1).holds());
  Course never = good;
  never.highest.back() = 1.5;
  CHECK(check_descent(never, 1).checked == 0);
  CHECK(!check_descent(never, 1).holds());
}
