// The program as people run it: what it prints, what it leaves behind, and how it ends.
#include <doctest/doctest.h>
#include <signal.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/common/checkpoint.h"
#include "core/accelerator.h"
#include "core/safetensors.h"
#include "tests/apps/program.h"
#include "tests/apps/tiny_images.h"

namespace gradus::cifar10_train_test {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

const char* const result_files[] = {"config.json", "metrics.jsonl", "metrics.csv", "weights.safetensors"};

Words tiny_run(const TinyImages& images, const Words& more) {
  Words words = {"--data", images.data(), "--epochs", "2", "--batch", "10", "--threads", "2"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

Program::Result train(const TinyImages& images, const Words& more) {
  const Program::Result result = run_program("apps/cifar10_train", tiny_run(images, more));
  CAPTURE(result.err);
  CHECK(result.exit_code == 0);
  return result;
}

TEST_CASE("--json prints one object per epoch and a last one, and nothing else") {
  const TinyImages images;
  const Program::Result result = train(images, {"--json"});
  const Words lines = lines_of(result.out);
  REQUIRE(lines.size() == 3);
  for (int i = 0; i < 2; ++i) {
    const Json epoch = Json::parse(lines[static_cast<size_t>(i)]);
    CHECK(epoch.at("epoch") == i + 1);
    for (const char* name : {"train_loss", "test_loss"}) CHECK(epoch.at(name).get<double>() > 0);
    for (const char* name : {"train_accuracy", "test_accuracy"}) {
      CHECK(epoch.at(name).get<double>() >= 0);
      CHECK(epoch.at(name).get<double>() <= 1);
    }
    CHECK(epoch.at("images_per_s").get<double>() * epoch.at("seconds").get<double>() == doctest::Approx(24));
    CHECK(!epoch.contains("final"));
  }
  const Json last = Json::parse(lines[2]);
  CHECK(last.at("final") == true);
  CHECK(last.at("test_accuracy") == Json::parse(lines[1]).at("test_accuracy"));
  CHECK(contains(lines_of(result.err).at(0), "data: "));
}

TEST_CASE("rules of curvature and the bound of steps are flags, beside every preconditioner") {
  const TinyImages images;
  for (const std::string rule : {"adahesscale", "adahesscale-gn", "adahessian"}) {
    CAPTURE(rule);
    // All-CNN-C at the rule's defaults: its curvature is tiny at the start, and steps that nothing bounds end it.
    const Words lines =
        lines_of(train(images, {"--rule", rule, "--epochs", "2", "--json", "--out", images / rule}).out);
    const double bound = Json::parse(read_file(images / (rule + "/config.json"))).at("step_delta");
    CHECK(bound == (rule == "adahessian" ? 1e-8 : 1e-9));
    REQUIRE(lines.size() == 3);
    for (size_t epoch = 0; epoch < 2; ++epoch)
      CHECK(Json::parse(lines[epoch]).at("train_loss").get<double>() < 1.1 * std::log(3));  // a guess among three
    train(images, {"--rule", rule, "--epochs", "2", "--preconditioner", "none", "--step-delta", "1e-12", "--out",
                   images / "bounded"});
    CHECK(read_file(images / (rule + "/weights.safetensors")) != read_file(images / "bounded/weights.safetensors"));
  }
  train(images, {"--rule", "momentum", "--epochs", "1", "--step-delta", "1e-6", "--out", images / "bounded"});
  CHECK(Json::parse(read_file(images / "bounded/config.json")).at("step_delta") == 1e-6);
}

TEST_CASE("output for people begins with the data and is quiet on standard error in a pipe") {
  const TinyImages images;
  const Program::Result result = train(images, {});
  CHECK(contains(lines_of(result.out).at(0), "24 training and 12 test images"));
  CHECK(contains(result.out, "epoch 2/2"));
  CHECK(contains(result.out, "test accuracy"));
  CHECK(result.err.empty());
}

TEST_CASE("equal seeds and threads give equal bytes, for any number of workers; another seed gives others") {
  const TinyImages images;
  train(images, {"--out", images / "a", "--seed", "5", "--augment", "standard"});
  train(images, {"--out", images / "b", "--seed", "5", "--augment", "standard"});
  train(images, {"--out", images / "c", "--seed", "5", "--augment", "standard", "--workers", "3"});
  train(images, {"--out", images / "d", "--seed", "6", "--augment", "standard"});
  for (const char* file : result_files) {
    CAPTURE(file);
    const std::string name = std::string("/") + file, a = read_file(images / ("a" + name));
    CHECK(a == read_file(images / ("b" + name)));
    CHECK((a == read_file(images / ("c" + name))) == (name != "/config.json"));
    CHECK(a != read_file(images / ("d" + name)));
  }
  CHECK(lines_of(read_file(images / "a/timing.jsonl")).size() == 2);
}

TEST_CASE("the run folder holds what was printed, exactly") {
  const TinyImages images;
  const Program::Result result = train(images, {"--json", "--out", images / "run", "--lr-drop", "1"});
  const Words printed = lines_of(result.out), saved = lines_of(read_file(images / "run/metrics.jsonl"));
  REQUIRE(saved.size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    const Json row = Json::parse(saved[i]), line = Json::parse(printed[i]);
    for (const auto& [name, value] : row.items()) CHECK(line.at(name) == value);
    CHECK(!row.contains("seconds"));
  }
  CHECK(Json::parse(saved[0]).at("lr") == 0.05);
  CHECK(Json::parse(saved[1]).at("lr").get<double>() == doctest::Approx(0.005));
  const Words csv = lines_of(read_file(images / "run/metrics.csv"));
  REQUIRE(csv.size() == 3);
  CHECK(csv[0] == "epoch,step,lr,train_loss,train_accuracy,test_loss,test_accuracy");
  const Json config = Json::parse(read_file(images / "run/config.json"));
  CHECK(config.at("rule") == "momentum");
  CHECK(config.at("preconditioner") == "fop");
  CHECK(config.at("weight_decay") == 1e-3);
  CHECK(config.at("train_images") == 24);
}

TEST_CASE("--conv chooses the algorithm of convolutions and is on record") {
  const TinyImages images;
  for (const char* algorithm : {"auto", "direct"})
    train(images, {"--conv", algorithm, "--epochs", "1", "--out", images / algorithm});
  CHECK(Json::parse(read_file(images / "auto/config.json")).at("conv") == "auto");
  CHECK(Json::parse(read_file(images / "direct/config.json")).at("conv") == "direct");
  // For so little work a GPU takes its library's convolutions in any case.
  if (device_name() == "cpu")
    CHECK(read_file(images / "auto/weights.safetensors") != read_file(images / "direct/weights.safetensors"));
}

TEST_CASE("preconditioners that do not learn (--hyper-lr 0) give the losses of none, bit for bit") {
  const TinyImages images;
  train(images, {"--out", images / "none", "--preconditioner", "none"});
  const std::string none = read_file(images / "none/metrics.csv");
  for (const char* preconditioner : {"fop", "fop-norm", "s-hd", "pp-hd"}) {
    CAPTURE(preconditioner);
    train(images, {"--out", images / "zero", "--preconditioner", preconditioner, "--hyper-lr", "0"});
    CHECK(read_file(images / "zero/metrics.csv") == none);
    CHECK(safetensors::load(images / "zero/weights.safetensors").tensors.size() == 18);
    train(images, {"--out", images / "direction", "--preconditioner", preconditioner, "--hyper-lr", "0", "--acts-on",
                   "direction"});
    CHECK(read_file(images / "direction/metrics.csv") == none);
    train(images, {"--out", images / "learning", "--preconditioner", preconditioner, "--hyper-lr", "1e-2"});
    CHECK(read_file(images / "learning/metrics.csv") != none);
  }
}

TEST_CASE("every rule and every form of preconditioner trains both models") {
  const TinyImages images;
  std::vector<Words> table;
  for (const char* rule : {"sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "adagrad"})
    table.push_back({"--rule", rule});
  for (const char* rule : {"sgd", "adam"}) table.push_back({"--hyper-rule", rule, "--form", "direct"});
  for (const char* form : {"auto", "factor", "direct"})
    table.push_back({"--model", "mlp", "--preconditioner", "fop-norm", "--form", form, "--rank", "3", "--epochs", "1"});
  for (const char* preconditioner : {"fop", "pp-hd"})
    table.push_back({"--preconditioner", preconditioner, "--acts-on", "direction"});
  table.push_back({"--hyper-normalization", "cosine", "--hyper-rule", "sgd", "--hyper-lr", "0.01", "--epochs", "1"});
  table.push_back({"--decay-mode", "decoupled", "--padding", "1", "--no-dropout"});
  for (const Words& words : table) {
    std::string line;
    for (const std::string& word : words) line += word + " ";
    CAPTURE(line);
    Words more = words;
    more.push_back("--json");
    const Words lines = lines_of(train(images, more).out);
    REQUIRE(!lines.empty());
    CHECK(Json::parse(lines.back()).at("test_loss").get<double>() < 3);
  }
}

TEST_CASE("Ctrl-C, SIGTERM and SIGHUP finish the step, save, and end with exit code 130") {
  const TinyImages images;
  for (int number : {SIGINT, SIGTERM, SIGHUP}) {
    CAPTURE(number);
    Program program("apps/cifar10_train", tiny_run(images, {"--epochs", "100000", "--json", "--out", images / "run"}));
    CHECK(Json::parse(program.next_line()).at("epoch") == 1);
    program.signal(number);
    const Program::Result result = program.finish();
    CHECK(result.exit_code == 130);
    CHECK(contains(result.err, "interrupted"));
    CHECK(!contains(result.out, "final"));
    const safetensors::Content weights = safetensors::load(images / "run/weights.safetensors");
    CHECK(weights.metadata.at("complete") == "false");
    CHECK(std::stoll(weights.metadata.at("step")) >= 3);
  }
}

TEST_CASE("saved weights are where another run starts: without epochs it repeats the test accuracy and loss") {
  const TinyImages images;
  const Json trained = Json::parse(lines_of(train(images, {"--json", "--out", images / "run"}).out).back());
  const std::vector<int64_t> checkpoints = apps::checkpoints_in(images / "run");
  REQUIRE(!checkpoints.empty());
  for (const std::string& weights :
       {images / "run/weights.safetensors", apps::checkpoint_path(images / "run", checkpoints.front())}) {
    const Words lines = lines_of(train(images, {"--json", "--epochs", "0", "--weights", weights, "--seed", "9"}).out);
    REQUIRE(lines.size() == 1);
    const Json evaluated = Json::parse(lines[0]);
    CHECK(evaluated.at("final") == true);
    CHECK(evaluated.at("test_accuracy") == trained.at("test_accuracy"));
    CHECK(evaluated.at("test_loss") == trained.at("test_loss"));
  }
}

TEST_CASE("--quick uses synthetic images where there is no CIFAR-10, and says so in its first line") {
  const TemporaryFolder folder;
  const ScopedVariable cache("GRADUS_CACHE", folder / "cache"), data("GRADUS_DATA", "");
  const Words words = {"--quick", "--epochs", "0", "--train-samples", "10", "--test-samples", "10"};
  const Program::Result plain = run_program("apps/cifar10_train", words);
  CHECK(plain.exit_code == 0);
  CHECK(contains(lines_of(plain.out).at(0), "data: synthetic, 10 training and 10 test images"));
  Words json = words;
  json.push_back("--json");
  const Program::Result result = run_program("apps/cifar10_train", json);
  CHECK(contains(lines_of(result.err).at(0), "data: synthetic"));
  CHECK(lines_of(result.out).size() == 1);
}

TEST_CASE("a loss that is not finite stops the training with one line that says where") {
  const TinyImages images;
  const Program::Result result = run_program(
      "apps/cifar10_train", tiny_run(images, {"--json", "--model", "mlp", "--lr", "1e30", "--preconditioner", "none"}));
  CHECK(result.exit_code == 1);
  CHECK(contains(lines_of(result.err).back(), "is not finite in epoch"));
}

TEST_CASE("a last step that leaves no finite loss is no success") {
  const TinyImages images;
  const Words words = tiny_run(images, {"--model", "mlp", "--lr", "1e30", "--preconditioner", "none", "--epochs", "1",
                                        "--batch", "24", "--out", images / "run"});
  const Program::Result result = run_program("apps/cifar10_train", words);
  CHECK(result.exit_code == 1);
  CHECK(contains(lines_of(result.err).back(), "the test loss after step 1 is not finite; a smaller learning rate"));
  CHECK(!std::filesystem::exists(images / "run/weights.safetensors"));
}

TEST_CASE("without test images the training images serve, and the program says so") {
  const TinyImages images;
  std::filesystem::remove_all(images / "data/test");
  const Program::Result result = train(images, {"--epochs", "0"});
  CHECK(contains(result.err, "there are no test images"));
  CHECK(contains(lines_of(result.out).at(0), "24 training and 24 test images"));
}

TEST_CASE("a flag without effect is pointed out") {
  const TinyImages images;
  CHECK(contains(train(images, {"--rule", "adam", "--momentum", "0.5", "--epochs", "0"}).err,
                 "--momentum has no effect with --rule adam"));
  if (device_name() == "cpu")
    CHECK(contains(train(images, {"--tf32", "--epochs", "0"}).err, "--tf32 has no effect in a build for the CPU"));
}

TEST_CASE("mixed precision trains on every processor, and one without instructions for it says so once") {
  const TinyImages images;
  const Words words = {"--amp", "bf16", "--epochs", "2", "--json"};
  const auto loss = [](const Program::Result& result) {
    return Json::parse(lines_of(result.out).back()).at("test_loss").get<double>();
  };
  const Program::Result best = train(images, words);
  if (device_name() != "cpu") return;
  const ScopedVariable lesser("GRADUS_MAX_ISA", "v3");
  const Program::Result emulated = train(images, words);
  const std::string line = "bfloat16 saves memory here, not time";
  REQUIRE(contains(emulated.err, line));
  CHECK(!contains(emulated.err.substr(emulated.err.find(line) + 1), line));
  CHECK(loss(emulated) == doctest::Approx(loss(best)).epsilon(0.02));
  Words full = words;
  full[1] = "none";
  CHECK(loss(emulated) != loss(train(images, full)));
}

TEST_CASE("a preconditioner that runs away is told once, and one that does not is not") {
  const TinyImages images;
  // Without a step to speak of, gradients stay as they are, and P grows as fast as it can.
  const Words words = {"--model", "mlp", "--lr", "1e-7", "--weight-decay", "0", "--epochs", "8", "--json"};
  const auto notes = [&](const std::string& hyper_lr) {
    Words all = words;
    all.insert(all.end(), {"--hyper-lr", hyper_lr, "--preconditioner", "s-hd"});
    Words lines = lines_of(train(images, all).err);
    std::erase_if(lines, [](const std::string& line) { return !contains(line, " runs away"); });
    return lines;
  };
  const Words told = notes("2");
  REQUIRE(told.size() == 1);
  CHECK(contains(told[0], "cifar10_train: after epoch "));
  CHECK(contains(told[0], ".weight runs away: it makes the gradient "));
  CHECK(contains(told[0], "; try --acts-on direction or a smaller --hyper-lr than 2"));
  CHECK(notes("1e-4").empty());
}

TEST_CASE("a preconditioner that ends a training before an epoch is over is named") {
  const TinyImages images;
  for (const auto& [hyper_lr, growth] :
       {std::pair<std::string, std::string>{"1e10", "e+10 times as long as at the start"},
        {"1e30", "longer than float32 holds"}}) {
    const Program::Result result =
        run_program("apps/cifar10_train", tiny_run(images, {"--batch", "5", "--preconditioner", "s-hd", "--hyper-rule",
                                                            "adam", "--hyper-lr", hyper_lr, "--graph", "off"}));
    CHECK(result.exit_code == 1);
    const Words lines = lines_of(result.err);
    REQUIRE(lines.size() >= 2);
    CHECK(contains(lines[lines.size() - 2], "cifar10_train: in epoch 1 the preconditioner of "));
    CHECK(contains(lines[lines.size() - 2], ".weight makes the gradient "));
    CHECK(contains(lines[lines.size() - 2], growth));
    CHECK(contains(lines[lines.size() - 2], "; if that came first, --acts-on direction or a smaller --hyper-lr than "));
    CHECK(contains(lines.back(), " is not finite in epoch 1"));
  }
}

TEST_CASE("a preconditioner that ends a training is named after captured steps too, as far as can be seen") {
  if (device_name() == "cpu") return;  // captures nothing
  const TinyImages images;
  for (const std::string hyper_lr : {"1e10", "1e30"}) {
    CAPTURE(hyper_lr);
    const Program::Result result = run_program(
        "apps/cifar10_train",
        tiny_run(images, {"--batch", "5", "--preconditioner", "s-hd", "--hyper-rule", "adam", "--hyper-lr", hyper_lr}));
    CHECK(result.exit_code == 1);
    const Words lines = lines_of(result.err);
    REQUIRE(lines.size() >= 2);
    const std::string& note = lines[lines.size() - 2];
    CAPTURE(note);
    CHECK(contains(note, "cifar10_train: in epoch 1 "));
    CHECK(contains(note, "the preconditioner"));
    CHECK(contains(note, ".weight "));
    CHECK(contains(note, " first, --acts-on direction or a smaller --hyper-lr than "));
    CHECK(contains(lines.back(), " is not finite in epoch 1"));
    CHECK(contains(lines.back(), "--graph off tells more"));
  }
}

TEST_CASE("a training on resident images is that on images which the host makes") {
  const TinyImages images;
  std::vector<std::string> weights;
  for (const std::string resident : {"on", "off"}) {
    train(images, {"--resident", resident, "--augment", "standard", "--out", images / resident});
    weights.push_back(read_file(images / resident + "/weights.safetensors"));
  }
  CHECK(weights[0] == weights[1]);
}

TEST_CASE("steps that cannot be captured are an error where that was asked for") {
  const TinyImages images;
  if (device_name() == "cpu") {
    const Program::Result result = run_program("apps/cifar10_train", tiny_run(images, {"--graph", "on"}));
    CHECK(result.exit_code == 2);
    CHECK(contains(result.err, "--graph on: a build for the CPU captures nothing"));
    return;
  }
  const Words flags = {"--accumulate", "2", "--epochs", "0", "--graph"};
  Words on = flags, automatic = flags;
  on.push_back("on");
  automatic.push_back("auto");
  const Program::Result result = run_program("apps/cifar10_train", tiny_run(images, on));
  CHECK(result.exit_code == 2);
  CHECK(contains(result.err, "--graph on: steps cannot be captured: --accumulate takes several passes for a step"));
  CHECK(contains(train(images, automatic).err, "steps are not captured: --accumulate takes several passes for a step"));
}

TEST_CASE("the device that computes is named") {
  const TinyImages images;
  CHECK(contains(train(images, {"--epochs", "0"}).out, "device: " + std::string(device_name()) + ": "));
}

TEST_CASE("--help groups the flags and shows three examples") {
  const Program::Result help = run_program("apps/cifar10_train", {"--help"});
  CHECK(help.exit_code == 0);
  for (const char* group : {"Data:", "Model:", "Optimizer:", "Preconditioner:", "Training:", "Results:", "Examples:"}) {
    CAPTURE(group);
    CHECK(contains(help.out, std::string("\n") + group + "\n"));
  }
  const Words lines = lines_of(help.out.substr(help.out.find("Examples:")));
  CHECK(std::count_if(lines.begin(), lines.end(),
                      [](const std::string& l) { return contains(l, "  cifar10_train --"); }) == 3);
}

}  // namespace
}  // namespace gradus::cifar10_train_test
