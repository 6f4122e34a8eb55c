#include "apps/common/command_line.h"

#include <doctest/doctest.h>

#include "core/error.h"

namespace gradus::apps {
namespace {

int run_with(std::vector<std::string> words, const std::function<int()>& work) {
  CLI::App app;
  double rate = 0;
  std::string epochs;
  app.add_option("--rate", rate)->check(above(0));
  app.add_option("--epochs", epochs)->check(epoch_list());
  words.insert(words.begin(), "program");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  return run(app, static_cast<int>(argv.size()), argv.data(), work);
}

int done() { return 0; }

TEST_CASE("exit codes tell done, failed work and bad usage apart") {
  CHECK(run_with({"--rate", "0.5", "--epochs", "80"}, done) == 0);
  CHECK(run_with({}, []() -> int { fail(ErrorKind::io, "test", "gone"); }) == 1);
  CHECK(run_with({}, []() -> int { throw std::bad_alloc(); }) == 1);
  CHECK(run_with({}, []() -> int { throw UsageError("no"); }) == 2);
}

TEST_CASE("values that a flag cannot take are bad usage") {
  for (const char* rate : {"0", "-1", "nan", "inf", "1e999", "0.5x", "", "0x10"}) {
    CAPTURE(rate);
    CHECK(run_with({"--rate", rate}, done) == 2);
  }
  CHECK(run_with({"--ratee", "1"}, done) == 2);
  CHECK(run_with({"--rate"}, done) == 2);
  CHECK(run_with({"stray"}, done) == 2);
}

TEST_CASE("a list of epochs is ascending and starts at 1 at least") {
  CHECK(parse_epoch_list("80") == std::vector<int64_t>{80});
  CHECK(parse_epoch_list("25,50,51") == std::vector<int64_t>{25, 50, 51});
  CHECK(parse_epoch_list("none").empty());
  for (const char* text :
       {"", "0", "-1", "80,", ",80", "80,80", "80,25", "8x", "80 120", "1e2", "99999999999999999999"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_epoch_list(text), UsageError);
    if (*text != '\0') CHECK(run_with({"--epochs", text}, done) == 2);
  }
}

}  // namespace
}  // namespace gradus::apps
