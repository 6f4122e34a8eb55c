// `reproduce inspect`: what it says of a training's preconditioners, its files, and its refusals.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/reproduce/whitening.h"
#include "core/file.h"
#include "tests/apps/program.h"
#include "tests/apps/tiny_images.h"

namespace gradus::inspect_test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

/// Trains All-CNN-C on tiny images for two epochs; the run is in images / "run".
void train(const TinyImages& images, const Words& more) {
  Words words{"--data", images / "data", "--epochs", "2", "--batch", "8", "--threads", "1", "--out", images / "run"};
  words.insert(words.end(), more.begin(), more.end());
  REQUIRE(run_program("apps/cifar10_train", words).exit_code == 0);
}

std::vector<Json> inspect(const std::string& path, const Words& more = {}) {
  Words words{"inspect", path, "--json"};
  words.insert(words.end(), more.begin(), more.end());
  const Program::Result result = run_program("apps/reproduce/reproduce", words);
  REQUIRE_MESSAGE(result.exit_code == 0, result.err);
  std::vector<Json> rows;
  for (const std::string& line : lines_of(result.out)) rows.push_back(Json::parse(line));
  return rows;
}

std::string refusal(const std::string& path) {
  const Program::Result result = run_program("apps/reproduce/reproduce", {"inspect", path});
  CHECK(result.exit_code == 1);
  CHECK(result.out.empty());
  CHECK(lines_of(result.err).size() == 1);
  return result.err;
}

}  // namespace

TEST_CASE("the whitening score is 0 for the identity and a diagonal, and positive for negative neighbors") {
  const auto matrix = [](double neighbor, double other) {
    std::vector<double> p;
    for (int a = 0; a < 9; ++a)
      for (int b = 0; b < 9; ++b) {
        const int steps = std::abs(a / 3 - b / 3) + std::abs(a % 3 - b % 3);
        p.push_back(a == b ? 2 : steps == 1 ? neighbor : other);
      }
    return p;
  };
  CHECK(reproduce::whitening_score(matrix(0, 0), 3) == 0);
  CHECK(reproduce::whitening_score(matrix(0, 0.5), 3) == 0);
  CHECK(reproduce::whitening_score(matrix(-0.5, 0), 3) == doctest::Approx(0.25).epsilon(1e-12));
  CHECK(reproduce::whitening_score(matrix(0.5, 0), 3) == doctest::Approx(-0.25).epsilon(1e-12));
}

TEST_CASE("inspect shows every preconditioned layer, and P is the identity where nothing was learned") {
  const TinyImages images;
  train(images, {"--preconditioner", "fop", "--hyper-lr", "0"});
  const std::vector<Json> rows = inspect(images / "run");
  REQUIRE(rows.size() == 9);  // All-CNN-C's convolutions; its biases have none
  int64_t paper = 0, stored = 0;
  for (const Json& row : rows) {
    CAPTURE(row.dump());
    const int64_t n = row.at("paper_parameters");
    paper += n;
    stored += row.at("stored_parameters").get<int64_t>();
    CHECK(row.at("preconditioner") == "fop");
    CHECK(row.at("norm") == doctest::Approx(std::sqrt(static_cast<double>(n))).epsilon(1e-6));
    CHECK(row.at("smallest_eigenvalue") == doctest::Approx(1).epsilon(1e-6));
    CHECK(row.at("largest_eigenvalue") == doctest::Approx(1).epsilon(1e-6));
    CHECK(row.at("gain") == doctest::Approx(1).epsilon(1e-5));
    CHECK(row.at("angle_degrees").get<double>() < 1e-3);  // a rounding of 1e-7 is 6e-6 degrees
    CHECK(row.at("acts_on") == "gradient");
    if (n == 9)
      CHECK(row.at("whitening") == 0);
    else
      CHECK(row.at("whitening").is_null());
  }
  CHECK(paper == 65);
  CHECK(stored == 569);
}

TEST_CASE("inspect writes matrices, spectra and layers that agree with each other") {
  const TinyImages images;
  train(images, {"--preconditioner", "fop-norm", "--hyper-lr", "0.01"});
  const std::string out = images / "learned";
  const std::vector<Json> rows = inspect(images / "run", {"--out", out});
  for (const Json& row : rows) {  // the norm of FOP-norm's P is that of the identity, whatever M is
    const double n = row.at("paper_parameters");
    CHECK(row.at("norm") == doctest::Approx(std::sqrt(n)).epsilon(1e-5));
  }
  CHECK(rows[1].at("smallest_eigenvalue") < rows[1].at("largest_eigenvalue"));
  const auto matrices = lines_of(read_file(out + "/matrices.csv")), spectra = lines_of(read_file(out + "/spectra.csv"));
  CHECK(matrices.size() == 1 + 7 * 81);  // 1x1 convolutions are single numbers
  CHECK(spectra.size() == 1 + 65);
  CHECK(lines_of(read_file(out + "/layers.csv")).size() == 1 + 9);
  CHECK(fs::exists(out + "/matrices.gp"));
  CHECK(fs::exists(out + "/spectra.gp"));
  double trace = 0, sum = 0;
  const std::string layer = rows[1].at("layer");
  const auto number = [](const std::string& line) { return std::stod(line.substr(line.rfind(',') + 1)); };
  for (const std::string& line : matrices)
    for (int i = 0; i < 9; ++i)
      if (line.starts_with(layer + "," + std::to_string(i) + "," + std::to_string(i) + ",")) trace += number(line);
  for (const std::string& line : spectra)
    if (line.starts_with(layer + ",")) sum += number(line);
  CHECK(trace == doctest::Approx(sum).epsilon(1e-6));
  // One checkpoint by name says the same.
  for (const auto& entry : fs::directory_iterator(images / "run"))
    if (entry.path().filename().string().starts_with("checkpoint-")) CHECK(inspect(entry.path().string()).size() == 9);
}

TEST_CASE("angle and gain of a P on the momentum are called the momentum's") {
  const TinyImages images;
  train(images, {"--preconditioner", "s-hd", "--acts-on", "direction"});
  CHECK(inspect(images / "run")[0].at("acts_on") == "direction");
  const Program::Result result = run_program("apps/reproduce/reproduce", {"inspect", images / "run"});
  for (const char* part : {"angle of P v", "|P v| / |v|", "P acts on v, the direction of the rule"})
    CHECK(contains(result.out, part));
  CHECK(!contains(result.out, "P g"));
}

TEST_CASE("inspect says in one line what is missing") {
  const TinyImages images;
  fs::create_directories(images / "empty");
  CHECK(refusal(images / "empty").find("holds no checkpoint") != std::string::npos);
  CHECK(refusal(images / "nowhere").find("nowhere") != std::string::npos);
  train(images, {"--preconditioner", "none"});
  CHECK(refusal(images / "run").find("has no preconditioner") != std::string::npos);
  write_file_atomically(images / "run/config.json", "{}\n");
  CHECK(refusal(images / "run").find("config.json does not say which preconditioner") != std::string::npos);
}

}  // namespace gradus::inspect_test
