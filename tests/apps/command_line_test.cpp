#include "apps/common/command_line.h"

#include <doctest/doctest.h>

#include <iostream>

#include "apps/common/suggestion.h"
#include "core/error.h"

namespace gradus::apps {
namespace {

int run_line(CommandLine& line, std::vector<std::string> words, const std::function<int()>& work) {
  words.insert(words.begin(), "program");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  return run(line, static_cast<int>(argv.size()), argv.data(), work);
}

int run_with(const std::vector<std::string>& words, const std::function<int()>& work) {
  CommandLine line("", "");
  double rate = 0;
  std::string epochs, rule = "sgd";
  line.add("--rate", rate, "", above(0));
  line.add("--epochs", epochs, "", epoch_list());
  line.add("--rule", rule, "", one_of({"sgd", "adam"}));
  return run_line(line, words, work);
}

int done() { return 0; }

TEST_CASE("exit codes tell done, failed work and bad usage apart") {
  CHECK(run_with({"--rate", "0.5", "--epochs", "80"}, done) == 0);
  CHECK(run_with({}, []() -> int { fail(ErrorKind::io, "test", "gone"); }) == 1);
  CHECK(run_with({}, []() -> int { throw std::bad_alloc(); }) == 1);
  CHECK(run_with({}, []() -> int { throw UsageError("no"); }) == 2);
  CHECK(run_with({}, [] { return from_flags([]() -> int { fail(ErrorKind::value, "test", "no"); }); }) == 2);
  CHECK(run_with({"--help"}, done) == 0);
  std::cout.setstate(std::ios::badbit);
  CHECK(run_with({"--help"}, done) == 1);
  std::cout.clear();
}

TEST_CASE("values that a flag cannot take are bad usage") {
  for (const char* rate : {"0", "-1", "nan", "inf", "1e999", "0.5x", "", "0x10"}) {
    CAPTURE(rate);
    CHECK(run_with({"--rate", rate}, done) == 2);
  }
  CHECK(run_with({"--rule", "adam"}, done) == 0);
  CHECK(run_with({"--rule", "Adam"}, done) == 2);
  CHECK(run_with({"--ratee", "1"}, done) == 2);
  CHECK(run_with({"--rate"}, done) == 2);
  CHECK(run_with({"stray"}, done) == 2);
}

TEST_CASE("a closed range takes both its ends, and says them as they are") {
  CHECK(inside(0, 2).reason("2").empty());
  CHECK(inside(0, 2).reason("0").empty());
  CHECK(inside(0, 2).reason("2.5") == "2.5 is not a number from 0 to 2");
}

TEST_CASE("a whole number that its variable cannot hold, and an empty value, are bad usage") {
  const auto code = [](const std::vector<std::string>& words) {
    CommandLine line("", "");
    int64_t batch = 0;
    uint64_t seed = 0;
    std::optional<int64_t> epochs;
    std::vector<uint64_t> seeds;
    std::string out;
    line.add("--batch", batch, "");
    line.add("--seed", seed, "");
    line.add("--epochs", epochs, "");
    line.add("--seeds", seeds, "");
    line.add("--out", out, "");
    line.add("--side", batch, "", side(8));
    return run_line(line, words, done);
  };
  for (const char* good : {"-9223372036854775808", "9223372036854775807"}) CHECK(code({"--batch", good}) == 0);
  CHECK(code({"--seed", "18446744073709551615", "--seeds", "0", "1"}) == 0);
  for (const char* flag : {"--batch", "--seed", "--epochs", "--seeds"})
    for (const char* value : {"99999999999999999999", "1.5", "1e3", "0x10", "1,2", "", "-", "-99999999999999999999"}) {
      CAPTURE(flag);
      CAPTURE(value);
      CHECK(code({flag, value}) == 2);
    }
  for (const char* flag : {"--seed", "--seeds"}) CHECK(code({flag, "-1"}) == 2);
  CHECK(code({"--out", ""}) == 2);
  for (const char* good : {"8", "16384"}) CHECK(code({"--side", good}) == 0);
  for (const char* bad : {"7", "16385", "4611686018427387904"}) CHECK(code({"--side", bad}) == 2);
}

TEST_CASE("flags fill their variables: the last of one that is given twice, all of a list") {
  CommandLine line("", "");
  bool json = false, quick = false;
  int64_t batch = 128;
  std::optional<double> lr;
  std::optional<std::string> mode;
  std::vector<uint64_t> seeds{7};
  std::vector<std::string> names, rules;
  line.add("--json", json, "");
  line.add("--quick", quick, "");
  line.add("--batch", batch, "", at_least(1));
  line.add("--lr", lr, "", within(0, 1));
  line.add("--mode", mode, "");
  line.add("--seeds", seeds, "");
  line.add("--rules", rules, "", one_of({"sgd", "adam", "adamw"}));
  line.add("NAMES", names, "");
  const auto look = [&] {
    CHECK(json);
    CHECK_FALSE(quick);
    CHECK(batch == 16);
    CHECK(lr == 0.5);
    CHECK_FALSE(mode);
    CHECK(seeds == std::vector<uint64_t>{1, 2, 3});
    CHECK(names == std::vector<std::string>{"a", "b"});
    CHECK(rules == std::vector<std::string>{"adam", "sgd"});
    CHECK(line.given("--batch"));
    CHECK_FALSE(line.given("--mode"));
    line.give("mode", "coupled");
    CHECK(mode == "coupled");
    for (const auto& [name, given] : line.flags()) {
      if (name == "batch") CHECK(given == "16");
      if (name == "quick") CHECK_FALSE(given);
    }
    return 0;
  };
  CHECK(run_line(line,
                 {"a", "b", "--batch", "8", "--json", "--batch", "16", "--lr", "0.5", "--rules", "adam,sgd", "--seeds",
                  "1", "2", "--seeds", "3"},
                 look) == 0);
}

TEST_CASE("a mistyped word is taken for the one known word that is near enough") {
  const std::vector<std::string> known = {"momentum", "adam", "adamw", "lr", "lr-drop", "train-samples", "sgd"};
  const auto meant = [&](const char* word) { return closest(word, known); };
  for (const char* typed : {"mometnum", "momntm", "Momentum", "momentumms"}) {
    CAPTURE(typed);
    CHECK(meant(typed) == "momentum");
  }
  CHECK(meant("admw") == "adamw");  // one letter is missing; adam is two away
  CHECK(meant("Adam") == "adam");
  CHECK(meant("train_sample") == "train-samples");
  CHECK(meant("lrr") == "lr");
  CHECK(meant("sdg") == "sgd");
  for (const char* stranger : {"", "x", "rl2", "momentummmm", "rmsprop", "fop"}) {
    CAPTURE(stranger);
    CHECK(meant(stranger) == "");
  }
  CHECK(closest("bat", {"cat", "rat"}) == "");  // nobody can tell
  CHECK(closest(std::string(1 << 20, 'a'), known) == "");
}

TEST_CASE("a command has flags of its own, and one can be required") {
  const auto run_commands = [](const std::vector<std::string>& words) {
    CommandLine line("", "");
    CommandLine &one = line.add_command("one", ""), &two = line.add_command("two", "");
    line.require_command();
    std::string path;
    two.add_required("PATH", path, "");
    return run_line(line, words, [&] {
      CHECK_FALSE(one.chosen());
      CHECK(two.chosen());
      CHECK(path == "here");
      return 0;
    });
  };
  CHECK(run_commands({"two", "here"}) == 0);
  CHECK(run_commands({"two"}) == 2);
  CHECK(run_commands({}) == 2);
  CHECK(run_commands({"three"}) == 2);
}

TEST_CASE("a list of epochs is ascending and starts at 1 at least") {
  CHECK(parse_epoch_list("80") == std::vector<int64_t>{80});
  CHECK(parse_epoch_list("25,50,51") == std::vector<int64_t>{25, 50, 51});
  CHECK(parse_epoch_list("none").empty());
  for (const char* text :
       {"", "0", "-1", "80,", ",80", "80,80", "80,25", "8x", "80 120", "1e2", "99999999999999999999"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_epoch_list(text), UsageError);
    CHECK(run_with({"--epochs", text}, done) == 2);
  }
}

}  // namespace
}  // namespace gradus::apps
