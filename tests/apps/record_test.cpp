#include "apps/common/record.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>

namespace gradus::apps {
namespace {

const double awkward[] = {0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, 0.30000000000000004, 2.302585092994046,
                          100, -0.0};

TEST_CASE("numbers read back exactly from JSON and from CSV") {
  for (double value : awkward) {
    CAPTURE(value);
    const Record record = {{"value", value}};
    CHECK(nlohmann::json::parse(record.json()).at("value").get<double>() == value);
    CHECK(std::strtod(record.csv_values().c_str(), nullptr) == value);
  }
  const uint64_t largest = std::numeric_limits<uint64_t>::max();
  CHECK(nlohmann::json::parse(Record{{"seed", largest}}.json()).at("seed").get<uint64_t>() == largest);
}

TEST_CASE("a field is found by its name, and a number whatever its type") {
  const Record record = {{"epoch", int64_t{3}}, {"loss", 0.5}, {"name", std::string("x")}, {"loss", 2.0}};
  CHECK(record.number("epoch") == 3);
  CHECK(record.number("loss") == 0.5);
  CHECK(std::isnan(record.number("name")));
  CHECK(std::isnan(record.number("none")));
  CHECK(std::get<std::string>(*record.find("name")) == "x");
  CHECK(record.find("none") == nullptr);
}

TEST_CASE("the shortest text that reads back is printed") {
  CHECK(exact(0.1) == "0.1");
  CHECK(exact(0.05) == "0.05");
  CHECK(exact(1e-4) == "1e-04");
  for (const double sign : {1.0, -1.0}) CHECK(exact(std::copysign(std::nan(""), sign)) == "nan");
}

TEST_CASE("a record keeps the order of its fields and their types") {
  const Record record = {{"epoch", int64_t{3}}, {"final", true}, {"loss", 0.5}, {"rule", "adam"}};
  CHECK(record.json() == R"({"epoch": 3, "final": true, "loss": 0.5, "rule": "adam"})");
  CHECK(record.csv_names() == "epoch,final,loss,rule");
  CHECK(record.csv_values() == "3,true,0.5,adam");
  CHECK(nlohmann::json::parse(record.json_lines()) == nlohmann::json::parse(record.json()));
}

TEST_CASE("a number that is not finite is null in JSON, which has no word for it, and named in CSV") {
  const Record record = {{"a", std::numeric_limits<double>::quiet_NaN()},
                         {"b", -std::numeric_limits<double>::infinity()}};
  CHECK(record.json() == R"({"a": null, "b": null})");
  CHECK(record.csv_values() == "nan,-inf");
}

TEST_CASE("text with quotes, commas, newlines and bytes that are not UTF-8 gives valid JSON and CSV") {
  const Record record = {{"data", "a\"b,c\n\xff"}};
  const auto read = nlohmann::json::parse(record.json()).at("data").get<std::string>();
  CHECK(read == "a\"b,c\n\xef\xbf\xbd");
  CHECK(record.csv_values() == "\"a\"\"b,c\n\xff\"");
}

}  // namespace
}  // namespace gradus::apps
