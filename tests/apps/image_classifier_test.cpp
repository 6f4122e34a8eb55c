// The program as people run it: a folder of pictures in, a trained model out, and the classes of new pictures.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "core/safetensors.h"
#include "layers/init.h"
#include "models/resnet.h"
#include "tests/apps/program.h"
#include "tests/apps/tiny_images.h"

namespace gradus::image_classifier_test {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

const char* const program = "apps/image_classifier";

/// Ten pictures each of two classes that a network learns in seconds, without any split.
class Pictures {
 public:
  Pictures() : cache_("GRADUS_CACHE", folder_ / "cache") {
    for (int k = 0; k < 2; ++k)
      for (int i = 0; i < 10; ++i)
        folder_.write(text("data/", k == 0 ? "red" : "green", "/", i, ".ppm"),
                      noisy_picture(20, 3, k, static_cast<uint64_t>(100 * k + i)));
  }
  std::string operator/(std::string_view name) const { return folder_ / name; }
  const TemporaryFolder& folder() const { return folder_; }

 private:
  TemporaryFolder folder_;
  ScopedVariable cache_;
};

Program::Result train(const Pictures& pictures, const Words& more) {
  Words words = {"--data",       pictures / "data",
                 "--image-size", "16",
                 "--stem",       "cifar",
                 "--batch",      "8",
                 "--epochs",     "6",
                 "--lr",         "0.01",
                 "--threads",    "2"};
  words.insert(words.end(), more.begin(), more.end());
  const Program::Result result = run_program(program, words);
  CAPTURE(result.err);
  CHECK(result.exit_code == 0);
  return result;
}

}  // namespace

TEST_CASE("a folder of pictures becomes a model that names new pictures, but for those that do not decode") {
  const Pictures pictures;
  const Program::Result trained = train(pictures, {"--out", pictures / "model"});
  CHECK(contains(lines_of(trained.out).at(0), "16 training and 4 test photographs of 2 classes"));
  CHECK(Json::parse(read_file(pictures / "model/classes.json")) == Json({"green", "red"}));

  // As the trained classes are, but larger, and seen for the first time.
  const std::string model = pictures / "model";
  const std::string red = pictures.folder().write("new/1.ppm", noisy_picture(40, 3, 0, 900));
  const std::string green = pictures.folder().write("new/2.ppm", noisy_picture(40, 3, 1, 901));
  const Program::Result plain = run_program(program, {"--predict", model, red, green});
  CAPTURE(plain.err);
  CHECK(plain.exit_code == 0);
  const Words lines = lines_of(plain.out);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].starts_with(red + ": red "));
  CHECK(lines[1].starts_with(green + ": green "));

  const Program::Result json = run_program(program, {"--predict", model, "--json", "--top", "1", green});
  const Json row = Json::parse(json.out);
  CHECK(row.at("file") == green);
  CHECK(row.at("class") == "green");
  REQUIRE(row.at("classes").size() == 1);
  CHECK(row.at("classes")[0].at("probability").get<double>() > 0.5);

  const std::string missing = pictures / "missing.ppm", broken = pictures.folder().write("broken.ppm", "no picture");
  const auto expect = [&](const Program::Result& result, const Words& answers) {
    CHECK(result.exit_code == 1);
    const Words given = lines_of(result.out);
    REQUIRE(given.size() == answers.size());
    for (size_t i = 0; i < given.size(); ++i) CHECK(given[i].starts_with(answers[i]));
  };
  const Program::Result skipped =
      run_program(program, {"--predict", model, "--on-damaged", "skip", broken, red, missing, green});
  expect(skipped, {red + ": red ", green + ": green "});
  REQUIRE(lines_of(skipped.err).size() == 2);
  CHECK(contains(lines_of(skipped.err)[0], broken));
  CHECK(contains(lines_of(skipped.err)[1], missing));
  const Program::Result stopped = run_program(program, {"--predict", model, red, broken, green});
  expect(stopped, {red + ": red "});
  CHECK(lines_of(stopped.err).size() == 1);
  CHECK(contains(stopped.err, broken));
  expect(run_program(program, {"--predict", model, "--on-damaged", "skip", broken}), {});
}

TEST_CASE("weights of a network for other classes are taken over, all but the classifier") {
  const Pictures pictures;
  manual_seed(3);
  const ResNet other = resnet18(7, {.stem = ResNetStem::cifar});
  safetensors::save(pictures / "other.safetensors", other.state());
  const Program::Result result =
      train(pictures, {"--weights", pictures / "other.safetensors", "--epochs", "0", "--out", pictures / "model"});
  CHECK(contains(result.err, "fc.weight in "));
  CHECK(contains(result.err, "is for other classes: it is learned anew"));
  const StateDict state = safetensors::load(pictures / "model/weights.safetensors").tensors;
  CHECK(state.at("conv1.weight").to_vector<float>() == other.state().at("conv1.weight").to_vector<float>());
  CHECK(state.at("fc.weight").shape() == Shape{2, 512});
}

TEST_CASE("what cannot be recognized is one line that says why") {
  const Pictures pictures;
  const auto error = [&](const Words& words, int exit_code) {
    const Program::Result result = run_program(program, words);
    CHECK(result.exit_code == exit_code);
    CHECK(lines_of(result.err).size() == 1);
    return result.err;
  };
  const std::string picture = pictures / "data/red/0.ppm";
  CHECK(contains(error({picture}, 2), "need --predict MODEL"));
  CHECK(contains(error({"--predict", pictures / "model"}, 2), "needs pictures"));
  CHECK(contains(error({}, 2), "--data is missing"));
  const std::string nowhere = error({"--predict", pictures / "nowhere", picture}, 1);
  CHECK(contains(nowhere, "nowhere/config.json is missing, or no part of a model of image_classifier's ("));
  CHECK(contains(nowhere, "): train one with image_classifier --data FOLDER --out " + pictures / "nowhere"));
  CHECK(contains(error({"--data", "nowhere", "--image-size", "16385"}, 2), "16385 is not a number from 8 to 16384"));
  pictures.folder().write("foreign/config.json", "{}");
  CHECK(contains(error({"--predict", pictures / "foreign", picture}, 1), "no part of a model of image_classifier's"));
  train(pictures, {"--epochs", "0", "--out", pictures / "model"});
  const std::string broken = pictures.folder().write("broken.png", "no picture");
  CHECK(contains(error({"--predict", pictures / "model", broken}, 1), "broken.png is not a"));
  safetensors::save(pictures / "model/weights.safetensors", {{"w", Tensor::ones({1})}});
  CHECK(contains(error({"--predict", pictures / "model", picture}, 1), "model/weights.safetensors does not fit"));
}

TEST_CASE("a model whose files were changed to what no training writes is refused by the file's name") {
  const Pictures pictures;
  train(pictures, {"--epochs", "0", "--out", pictures / "model"});
  const std::string config = read_file(pictures / "model/config.json");
  const auto error = [&] {
    const Program::Result result = run_program(program, {"--predict", pictures / "model", pictures / "data/red/0.ppm"});
    CHECK(result.exit_code == 1);
    CHECK(lines_of(result.err).size() == 1);
    return result.err;
  };
  const auto changed = [&](const char* key, const Json& value) {
    Json json = Json::parse(config);
    json[key] = value;
    pictures.folder().write("model/config.json", json.dump());
    const std::string found = error();
    CHECK(contains(found, "model/config.json is missing, or no part of a model"));
    return found;
  };
  CHECK(contains(changed("stem", "cifra"), "there is no stem \"cifra\"; there are imagenet, cifar"));
  CHECK(contains(changed("shortcut", "long"), "there is no shortcut \"long\"; there are torchvision, paper"));
  CHECK(contains(changed("model", "resnet"), "there is no model \"resnet\""));
  for (const Json& size : {Json(0), Json(-5), Json(1000000000), Json(INT64_MAX)})
    CHECK(contains(changed("image_size", size), "image_size"));
  pictures.folder().write("model/config.json", config);
  pictures.folder().write("model/classes.json", "[]");
  CHECK(contains(error(), "model/classes.json is missing, or no part of a model of image_classifier's"));
}

TEST_CASE("flags of the training that are given with --predict are named as without effect") {
  const Pictures pictures;
  train(pictures, {"--epochs", "0", "--out", pictures / "model"});
  const Program::Result result =
      run_program(program, {"--predict", pictures / "model", "--epochs", "3", "--json", pictures / "data/red/0.ppm"});
  CHECK(result.exit_code == 0);
  CHECK(result.err == "image_classifier: --epochs has no effect with --predict\n");
}

TEST_CASE("a last batch of one picture ends no training, and predictions take the average that --ema left") {
  const Pictures pictures;
  const std::string model = pictures / "model", picture = pictures / "data/red/0.ppm";
  // Of 16 training pictures one is left over; 16 pixels a side become 1x1.
  const Words words = {"--stem", "imagenet", "--batch", "5", "--epochs", "1", "--ema", "0.5", "--out", model};
  CHECK(contains(
      train(pictures, words).err,
      "image_classifier: batch 4 of epoch 1 is a single image, from which batch normalization cannot learn; such a "
      "batch is left out\n"));
  const auto predict = [&](const Words& more) {
    Words all = {"--predict", model, "--json", picture};
    all.insert(all.end(), more.begin(), more.end());
    return run_program(program, all);
  };
  CHECK(predict({"--average"}).out != predict({}).out);
  CHECK(predict({"--average"}).err.empty());
  std::filesystem::copy_file(model + "/weights.ema.safetensors", model + "/weights.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  CHECK(predict({}).out == predict({"--average"}).out);

  std::filesystem::remove(model + "/weights.ema.safetensors");
  CHECK(contains(predict({"--average"}).err, "model has no average ("));
  const StateDict weights = safetensors::load(model + "/weights.safetensors").tensors;
  safetensors::save(model + "/weights.safetensors", weights, {{"complete", "false"}});
  CHECK(contains(predict({}).err, "model/weights.safetensors is of a training that was interrupted"));
  pictures.folder().write("model/weights.safetensors", "# No weights at all");
  CHECK(contains(predict({}).err, "weights.safetensors: is no .safetensors file"));
}

TEST_CASE("the names of the classes move with the run that they belong to") {
  const Pictures pictures;
  train(pictures, {"--epochs", "0", "--out", pictures / "model"});
  for (int i = 0; i < 2; ++i)
    pictures.folder().write(text("data/blue/", i, ".ppm"), noisy_picture(20, 3, 2, static_cast<uint64_t>(200 + i)));
  const Program::Result result = train(pictures, {"--epochs", "0", "--out", pictures / "model"});
  CHECK(contains(result.err, "replaces the run that is in " + pictures / "model" + ", which moves to "));
  CHECK(Json::parse(read_file(pictures / "model/classes.json")) == Json({"blue", "green", "red"}));
  CHECK(Json::parse(read_file(pictures / "model/replaced/classes.json")) == Json({"green", "red"}));
}

TEST_CASE("where no class has two pictures, none can be held out, and the next attempt replaces nothing") {
  const Pictures pictures;
  for (const char* color : {"red", "green"})
    for (int i = 1; i < 10; ++i) std::filesystem::remove(pictures / text("data/", color, "/", i, ".ppm"));
  const Words words = {"--data", pictures / "data", "--out", pictures / "model"};
  for (int attempt = 0; attempt < 2; ++attempt) {
    const Program::Result result = run_program(program, words);
    CHECK(result.exit_code == 1);
    CHECK(result.err == "image_classifier: [data] no class of " + pictures / "data" +
                            " has two pictures, so none can be held out: add pictures or use --hold-out 0\n");
  }
  CHECK(!contains(train(pictures, {"--epochs", "0", "--hold-out", "0", "--out", pictures / "model"}).err, "replaces"));
}

}  // namespace gradus::image_classifier_test
